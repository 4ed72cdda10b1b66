"""A key selector for series, so that all samples of a series go to the same subtask."""

from __future__ import annotations

from typing import Any

from pyflink.datastream.functions import KeySelector

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.timeseries import as_time_series


class PrometheusTimeSeriesKeySelector(KeySelector):
    """
    The canonical key of each :class:`~pyflink_prometheus.PrometheusTimeSeries`: ``name{a="b",c="d"}``.

    Use it as ``stream.key_by(PrometheusTimeSeriesKeySelector(), key_type=Types.STRING())`` if the sink runs in several
    subtasks and the records are already series. A stream that is keyed upstream by the source of its series (a device,
    an aircraft) needs no second key_by, which costs about 30 µs per record.
    """

    def get_key(self, value: Any) -> str:
        """Return the key, which is empty for an invalid record: the sink rejects it."""
        try:
            return as_time_series(value).key()
        except InvalidTimeSeriesError:
            return ""
