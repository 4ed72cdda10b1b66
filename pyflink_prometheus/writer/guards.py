"""Optional checks of a sample's time, for those who would rather not ask the receiver."""

from __future__ import annotations

from collections.abc import Callable

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.ledger import Reason


class TimestampGuard:
    """
    Refuse samples by their time.

    One far ahead moves the bounds of what Prometheus accepts of every other series, so this is worth having where
    clocks cannot be trusted.

    :param config: ``max_sample_age_ms``, ``max_sample_lead_ms`` and ``drop_out_of_order_samples`` are read from it.
    :param time: tells seconds since 1970.
    """

    def __init__(self, config: SinkConfig, time: Callable[[], float]) -> None:
        self._max_age_ms = config.max_sample_age_ms
        self._max_lead_ms = config.max_sample_lead_ms
        self._in_order = config.drop_out_of_order_samples
        self._time = time

    @property
    def needed(self) -> bool:
        """Whether any check is switched on."""
        return self._max_age_ms is not None or self._max_lead_ms is not None or self._in_order

    def refuse(self, series: Series, timestamp: int) -> tuple[Reason, str] | None:
        """Return why a sample may not be written, ``None`` if it may; remembers it as its series' newest then."""
        now_ms = int(self._time() * 1000)
        if self._max_age_ms is not None and timestamp < now_ms - self._max_age_ms:
            return Reason.TOO_OLD, f"samples: {timestamp} is {now_ms - timestamp} ms ago, more than {self._max_age_ms}"
        if self._max_lead_ms is not None and timestamp > now_ms + self._max_lead_ms:
            return Reason.TOO_NEW, f"samples: {timestamp} is {timestamp - now_ms} ms ahead, over {self._max_lead_ms}"
        if self._in_order:
            newest = series.newest
            if newest is not None and timestamp < newest:
                return Reason.OUT_OF_ORDER, f"samples: {timestamp} came after {newest} of the same series"
            series.newest = timestamp
        return None
