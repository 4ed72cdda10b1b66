"""The guard that limits new series in an hour and in a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from pyflink_prometheus.guards.guard import Findings, Guard, SeriesRefused
from pyflink_prometheus.guards.limits import SendingLimits
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_MOST_REMEMBERED = 1_000_000


class _Limit(NamedTuple):
    """A limit on new series in a period, of the whole sink or of each metric."""

    guard: Guard
    most: int
    seconds: float
    of_a_metric: bool


class NewSeriesGuard:
    """
    A bound on new series, each of which costs a receiver memory, and its user money.

    A period begins with its first new series. A refused series does not count and is checked again: in the next hour or
    day it may be admitted. On one thread.

    :param limits: the limits to check.
    :param findings: counts the findings.
    :param monotonic: returns seconds that never go back.
    :param most_remembered: how many series to remember as known, the ones checked last; at least half as many are
        remembered. A series that is forgotten is new again.
    """

    def __init__(
        self,
        limits: SendingLimits,
        findings: Findings,
        monotonic: Callable[[], float],
        most_remembered: int = _MOST_REMEMBERED,
    ) -> None:
        self._limits = limits
        self._findings = findings
        self._monotonic = monotonic
        self._bounds = [
            (bound, _Window(bound.seconds))
            for bound in (
                _bound(limits, Guard.NEW_SERIES_PER_HOUR, _HOUR_S),
                _bound(limits, Guard.NEW_SERIES_PER_DAY, _DAY_S),
                _bound(limits, Guard.NEW_SERIES_PER_METRIC_PER_HOUR, _HOUR_S, of_a_metric=True),
                _bound(limits, Guard.NEW_SERIES_PER_METRIC_PER_DAY, _DAY_S, of_a_metric=True),
            )
            if bound is not None
        ]
        self._generation_size = max(1, most_remembered // 2)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def check(self, labels: Mapping[str, str], tenant: Sequence[tuple[str, str]] = ()) -> None:
        """
        Admit a series, and remember it.

        :param labels: all labels of the series, including ``__name__``.
        :param tenant: the tenant of the series.
        :raises SeriesRefused: if it is new and exceeds a limit.
        """
        if not self._bounds:
            return
        identity = _identity(labels, tenant)
        if identity in self._young:
            return
        if identity not in self._old:
            self._count(labels.get(METRIC_NAME_LABEL, ""))
        if len(self._young) >= self._generation_size:
            self._old, self._young = self._young, set()
        self._young.add(identity)

    def _count(self, metric_name: str) -> None:
        now = self._monotonic()
        counters = [(limit, window, metric_name if limit.of_a_metric else "") for limit, window in self._bounds]
        for limit, window, key in counters:
            if window.count(key, now) >= limit.most:
                self._refuse(limit, metric_name, window.ends_in(now))
        for _, window, key in counters:
            window.add(key)

    def _refuse(self, limit: _Limit, metric_name: str, seconds: float) -> None:
        problem = f"more than {limit.guard.value}={limit.most} new series, the latest of metric {metric_name!r}"
        consequence = (
            "they are sent, because track_only is set"
            if self._limits.track_only
            else f"new ones are refused for {seconds / 60:.0f} min"
        )
        self._findings.add(
            limit.guard, f"look for a label that keeps changing, or raise {limit.guard.value}: {problem}; {consequence}"
        )
        if not self._limits.track_only:
            raise SeriesRefused(limit.guard, f"labels: {problem}")


class _Window:
    """The number of new series since the beginning of an hour or a day, in total or by metric."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = float("-inf")
        self._counts: dict[str, int] = {}

    def count(self, key: str, now: float) -> int:
        if now >= self._end:
            self._end, self._counts = now + self._seconds, {}
        return self._counts.get(key, 0)

    def ends_in(self, now: float) -> float:
        return self._end - now

    def add(self, key: str) -> None:
        self._counts[key] = self._counts.get(key, 0) + 1


def _bound(limits: SendingLimits, guard: Guard, seconds: float, *, of_a_metric: bool = False) -> _Limit | None:
    most = getattr(limits, guard.value)
    return None if most is None else _Limit(guard, most, seconds, of_a_metric)


def _identity(labels: Mapping[str, str], tenant: Sequence[tuple[str, str]]) -> bytes:
    """Return 16 bytes that identify a series of a tenant."""
    texts = [part.encode("utf-8") for pair in sorted(labels.items()) for part in pair]
    texts += [b"\xfe" + part.encode("utf-8") for pair in tenant for part in pair]
    return blake2b(b"\xff".join(texts), digest_size=16).digest()  # joined by bytes that UTF-8 does not use
