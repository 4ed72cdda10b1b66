"""
Helpers for tests of your own jobs and of this package.

:class:`PrometheusServer` runs a real Prometheus, in a container or as a process, and returns what it has stored.
:class:`Receiver` listens on loopback and decodes requests. :class:`ScriptedTransport` and :class:`FakeClock` replace
the network and the time in a writer. A function decides how the receiver and the transport respond, and each
``...Model`` is such a function: an in-memory receiver that responds and stores as a real one does.
"""

from pyflink_prometheus.testing.decoding import ReceivedRequest, decode_request
from pyflink_prometheus.testing.fake_clock import FakeClock
from pyflink_prometheus.testing.models.cortex_model import CortexModel
from pyflink_prometheus.testing.models.fronts import (
    ByteLimitModel,
    HaReplicaModel,
    OverloadedModel,
    WithoutCountsModel,
)
from pyflink_prometheus.testing.models.influxdb_model import InfluxDbModel
from pyflink_prometheus.testing.models.mimir_model import MimirModel
from pyflink_prometheus.testing.models.model import ReceiverModel, StoredSample
from pyflink_prometheus.testing.models.prometheus_model import AllOrNothingModel, PrometheusModel
from pyflink_prometheus.testing.models.series_limits import SeriesLimits
from pyflink_prometheus.testing.models.thanos_model import ThanosModel
from pyflink_prometheus.testing.models.victoria_metrics_model import VictoriaMetricsModel
from pyflink_prometheus.testing.prometheus_server import PrometheusServer, PrometheusServerError, StoredHistogram
from pyflink_prometheus.testing.receiver import Receiver, Response, ScriptedTransport

__all__ = [
    "AllOrNothingModel",
    "ByteLimitModel",
    "CortexModel",
    "FakeClock",
    "HaReplicaModel",
    "InfluxDbModel",
    "MimirModel",
    "OverloadedModel",
    "PrometheusModel",
    "PrometheusServer",
    "PrometheusServerError",
    "ReceivedRequest",
    "Receiver",
    "ReceiverModel",
    "Response",
    "ScriptedTransport",
    "SeriesLimits",
    "StoredHistogram",
    "StoredSample",
    "ThanosModel",
    "VictoriaMetricsModel",
    "WithoutCountsModel",
    "decode_request",
]
