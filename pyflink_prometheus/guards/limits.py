"""Limits on labels, new series and rates, and the limits that receivers document."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pyflink_prometheus import _validation

#: A value that is cut ends in a hyphen and a hash of this many bytes.
HASH_BYTES = 16
_SHORTEST_CUT = 2 * HASH_BYTES


class TooLong(Enum):
    """What happens to a series with a label that is too long."""

    #: The series is refused, with all its samples.
    REFUSE = "refuse"
    #: The value is cut, and ends in a hash of the whole value, so that different series stay different.
    CUT = "cut"
    #: The series is sent without this label. Series that differ only in it become one.
    DROP_LABEL = "drop_label"


_RATES = ("max_samples_per_second", "samples_burst", "max_bytes_per_second", "bytes_burst")
_NEW_SERIES = (
    "max_new_series_per_hour",
    "max_new_series_per_day",
    "max_new_series_per_metric_per_hour",
    "max_new_series_per_metric_per_day",
)
_SIZES = ("max_labels", "max_metric_name_bytes", "max_label_name_bytes", "max_label_value_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingLimits:
    """
    Limits on what a sink sends. All are off by default.

    Lengths are bytes of UTF-8, as receivers count them. After a start all series are new, so limits on new series must
    leave room for all series of the job.

    :param max_labels: the most labels of a series, including its metric name. A series with more is refused.
    :param max_metric_name_bytes: the longest metric name. A series with a longer one is refused.
    :param max_label_name_bytes: the longest name of a label.
    :param max_label_value_bytes: the longest value of a label.
    :param on_long_label_name: what happens to longer names: REFUSE (default) or DROP_LABEL.
    :param on_long_label_value: what happens to longer values. Default REFUSE.
    :param max_new_series_per_hour: the most new series in an hour. Series beyond it are refused until the next hour.
    :param max_new_series_per_day: the same for a day.
    :param max_new_series_per_metric_per_hour: the most new series of one metric in an hour.
    :param max_new_series_per_metric_per_day: the same for a day.
    :param max_samples_per_second: the most samples in a second, on average. Requests beyond it wait.
    :param samples_burst: how many samples may be sent at once after a pause. Default: those of one second.
    :param max_bytes_per_second: the most bytes in a second, on average, compressed as they are sent.
    :param bytes_burst: how many bytes may be sent at once after a pause. Default: those of one second.
    :param track_only: whether to only count and warn of whatever exceeds a limit, and send it unchanged. Default: no.
    :raises ValueError: if a number is out of range, or a policy is not possible.
    :raises TypeError: if a setting has the wrong type.
    """

    max_labels: int | None = None
    max_metric_name_bytes: int | None = None
    max_label_name_bytes: int | None = None
    max_label_value_bytes: int | None = None
    on_long_label_name: TooLong = TooLong.REFUSE
    on_long_label_value: TooLong = TooLong.REFUSE
    max_new_series_per_hour: int | None = None
    max_new_series_per_day: int | None = None
    max_new_series_per_metric_per_hour: int | None = None
    max_new_series_per_metric_per_day: int | None = None
    max_samples_per_second: float | None = None
    samples_burst: float | None = None
    max_bytes_per_second: float | None = None
    bytes_burst: float | None = None
    track_only: bool = False

    def __post_init__(self) -> None:
        for name in (*_SIZES, *_NEW_SERIES):
            if getattr(self, name) is not None:
                _validation.integer(name, getattr(self, name), least=1)
        for name in _RATES:
            if getattr(self, name) is not None and not _validation.number(name, getattr(self, name)) > 0:
                raise ValueError(f"{name}: expected a number above 0, got {_validation.shown(getattr(self, name))}")
        for burst, rate in (("samples_burst", "max_samples_per_second"), ("bytes_burst", "max_bytes_per_second")):
            if getattr(self, burst) is not None and getattr(self, rate) is None:
                raise ValueError(f"{burst}: set {rate} as well, or leave both out")
        for name in ("on_long_label_name", "on_long_label_value"):
            _validation.instance(name, getattr(self, name), TooLong)
        if self.on_long_label_name is TooLong.CUT:
            raise ValueError("on_long_label_name: choose REFUSE or DROP_LABEL, because names cannot be cut")
        if self.on_long_label_value is TooLong.CUT and (self.max_label_value_bytes or _SHORTEST_CUT) < _SHORTEST_CUT:
            raise ValueError(f"max_label_value_bytes: set at least {_SHORTEST_CUT} where values are cut")
        _validation.instance("track_only", self.track_only, bool)

    @property
    def limit_series(self) -> bool:
        """Whether each series must be checked."""
        return any(getattr(self, name) is not None for name in (*_SIZES, *_NEW_SERIES))

    @property
    def limit_rates(self) -> bool:
        """Whether each request must be checked."""
        return self.max_samples_per_second is not None or self.max_bytes_per_second is not None

    def share_of(self, subtasks: int) -> SendingLimits:
        """
        Return the limits of one of several subtasks, which together stay within these.

        The series of a metric are spread over the subtasks by their key, so each gets its part of all limits on new
        series and rates, rounded up.

        :param subtasks: the number of subtasks.
        """
        _validation.integer("subtasks", subtasks, least=1)
        parts: dict[str, float] = {}
        for name in (*_NEW_SERIES, *_RATES):
            limit = getattr(self, name)
            if limit is not None:
                parts[name] = -(-limit // subtasks) if name in _NEW_SERIES else limit / subtasks
        return dataclasses.replace(self, **parts)  # type: ignore[arg-type]


#: The limits that receivers document, or have as a default, as of August 2026; sources in docs/receiver-limits.md. A
#: tenant's or plan's own limits may differ: ``dataclasses.replace(RECEIVER_LIMITS["mimir"], max_labels=40)``.
RECEIVER_LIMITS: Mapping[str, SendingLimits] = {
    "amazon": SendingLimits(max_samples_per_second=70_000, samples_burst=1_000_000),
    "azure": SendingLimits(max_samples_per_second=1_000_000 / 60),
    "grafana-cloud": SendingLimits(
        max_metric_name_bytes=2048,
        max_label_name_bytes=1024,
        max_label_value_bytes=2048,
    ),
    "mimir": SendingLimits(
        max_labels=30,
        max_metric_name_bytes=2048,
        max_label_name_bytes=1024,
        max_label_value_bytes=2048,
        max_samples_per_second=10_000,
        samples_burst=200_000,
    ),
    "victoria-metrics": SendingLimits(
        max_labels=40,
        max_metric_name_bytes=4096,
        max_label_name_bytes=256,
        max_label_value_bytes=4096,
    ),
}
