"""
Helpers for the tests of your own jobs, and of this package.

:class:`PrometheusServer` is a real Prometheus, in a container or as a process, and gives back what it stored;
:class:`Receiver` decodes requests on loopback; :class:`ScriptedTransport` and :class:`FakeClock` take the places of
network and time in a writer.
"""

from pyflink_prometheus.testing.decoding import ReceivedRequest, decode_request
from pyflink_prometheus.testing.fake_clock import FakeClock
from pyflink_prometheus.testing.prometheus_server import PrometheusServer, PrometheusServerError, StoredHistogram
from pyflink_prometheus.testing.receiver import Answer, Receiver, ScriptedTransport

__all__ = [
    "Answer",
    "FakeClock",
    "PrometheusServer",
    "PrometheusServerError",
    "ReceivedRequest",
    "Receiver",
    "ScriptedTransport",
    "StoredHistogram",
    "decode_request",
]
