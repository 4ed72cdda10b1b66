"""The comparison of written and stored samples, series by series and hour by hour."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import numpy as np

from pyflink_prometheus.model.digest import Digests, nan_digests, total_digest
from pyflink_prometheus.verification.expectation import Expectation, Expected, Labels
from pyflink_prometheus.verification.stored_samples import Stored, StoredSamples

_NOTHING = Stored(np.empty(0, np.int64), np.empty(0, np.uint64))


class Verdict(Enum):
    """The result of comparing a series in an hour."""

    #: All written samples are stored, and perhaps others.
    STORED = "stored"
    #: Fewer samples are stored than were written.
    MISSING = "missing"
    #: As many samples are stored as were written, but not the same ones.
    DIFFERENT = "different"
    #: The comparison cannot tell.
    UNCLEAR = "unclear"


class Compared(NamedTuple):
    """
    The comparison of a series in an hour.

    :param labels: the series.
    :param hour: the hour, counted from 1970.
    :param verdict: the result.
    :param sent: how many samples were acknowledged as written.
    :param stored: how many the receiver holds.
    """

    labels: Labels
    hour: int
    verdict: Verdict
    sent: int
    stored: int


def compare(expectation: Expectation, stored: StoredSamples, *, count_only: bool = False) -> Iterator[Compared]:
    """
    Yield a comparison for each series and hour.

    :param count_only: compare numbers of samples, not their values.
    :raises PrometheusSinkError: if a query fails.
    """
    by_metric: dict[str, list[Labels]] = {}
    for labels in expectation.series:
        by_metric.setdefault(dict(labels)["__name__"], []).append(labels)
    for name, hours in expectation.hours_of_metrics().items():
        for hour in hours:
            found = stored.of_hour(name, hour)
            for labels in by_metric[name]:
                expected = expectation.series[labels].get(hour)
                if expected is not None and (expected.count or expected.unsure):
                    held = found.get(labels, _NOTHING)
                    verdict = judged(expected, held, count_only=count_only)
                    yield Compared(labels, hour, verdict, expected.count, len(held.digests))


def judged(expected: Expected, stored: Stored, *, count_only: bool = False) -> Verdict:
    """Return the verdict on the stored samples of a series in an hour. Pure."""
    verdict = _judged(expected, stored.digests, count_only=count_only)
    if verdict is not Verdict.STORED:
        # VictoriaMetrics returns stale markers as NaN, and stores no other NaN.
        numbers = stored.digests[stored.digests != nan_digests(stored.timestamps)]
        if len(numbers) < len(stored.digests) and _judged(expected, numbers, count_only=count_only) is Verdict.STORED:
            return Verdict.STORED
    return verdict


def _judged(expected: Expected, stored: Digests, *, count_only: bool) -> Verdict:
    more = len(stored) - expected.count
    if more == 0 and (count_only or total_digest(stored) == expected.digest):
        return Verdict.STORED
    if more < 0:
        return Verdict.MISSING if more < -expected.repeats else Verdict.UNCLEAR
    if expected.repeats or count_only:
        return Verdict.UNCLEAR
    if more == 0:
        return Verdict.DIFFERENT
    return Verdict.STORED if _has_extra_run(expected, stored, more) else Verdict.UNCLEAR


def _has_extra_run(expected: Expected, stored: Digests, more: int) -> bool:
    """
    Return whether the samples are the expected ones and a run of consecutive other ones.

    This is the case after a worker was killed: the last samples that it wrote were stored but not acknowledged.
    """
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(stored, dtype=np.uint64)])
    of_runs = sums[more:] - sums[: len(sums) - more]
    extra = (int(sums[-1]) - expected.digest) & ((1 << 64) - 1)
    return bool((of_runs == np.uint64(extra)).any())
