"""
Helpers for the tests of your own jobs, and of this package.

:class:`PrometheusServer` is a real Prometheus, in a container or as a process, and gives back what it stored;
:class:`Receiver` decodes requests on loopback; :class:`ScriptedTransport` and :class:`FakeClock` take the places of
network and time in a writer. Both of the middle answer as a function decides, and each ``...Model`` is such a function:
a receiver in memory that answers as a real one does, and stores what that one stores.
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
from pyflink_prometheus.testing.receiver import Answer, Receiver, ScriptedTransport

__all__ = [
    "AllOrNothingModel",
    "Answer",
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
    "ScriptedTransport",
    "SeriesLimits",
    "StoredHistogram",
    "StoredSample",
    "ThanosModel",
    "VictoriaMetricsModel",
    "WithoutCountsModel",
    "decode_request",
]
