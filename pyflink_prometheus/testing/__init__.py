"""
Helpers for the tests of your own jobs, and of this package.

:class:`PrometheusServer` runs a real Prometheus, in a container or as a process, and returns what it has stored.
:class:`Receiver` listens on loopback and decodes requests. :class:`ScriptedTransport` and :class:`FakeClock` replace
the network and the time in a writer.
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
