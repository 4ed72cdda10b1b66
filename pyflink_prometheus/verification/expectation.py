"""What a receiver should hold, from the digests of all writers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from pyflink_prometheus.writer.digest_files import HOUR_MS, Rows, read_digests

#: All labels of a series, sorted.
Labels = tuple[tuple[str, str], ...]

_ALL_BITS = (1 << 64) - 1


@dataclass(slots=True)
class Expected:
    """
    The samples of a series that were written in an hour.

    :ivar count: the number of samples.
    :ivar digest: their digest.
    :ivar unsure: how many more may be stored, because they were refused or not acknowledged.
    :ivar repeats: how many of the samples may have been written twice, before and after a restart.
    """

    count: int = 0
    digest: int = 0
    unsure: int = 0
    repeats: int = 0


class Expectation:
    """
    What a receiver should hold.

    :ivar series: what was written, by series and by hour, counted from 1970.
    :ivar of_other_tenants: the number of series that belong to other tenants.
    """

    def __init__(self) -> None:
        self.series: dict[Labels, dict[int, Expected]] = {}
        self.of_other_tenants = 0
        self._newest: dict[Labels, int] = {}

    def add(self, labels: Labels, rows: Rows) -> None:
        """
        Add what one writer has written of a series; writers come in the order in which they began.

        A writer that begins after a restart gets the newest samples again. The newest of all is accepted twice and
        stored once. Older ones are refused, unless the receiver accepts late samples: then they may be counted twice.
        """
        hours = self.series.setdefault(labels, {})
        newest = self._newest.get(labels)
        for row in rows:
            expected = hours.setdefault(int(row["hour"]), Expected())
            count, digest, first = int(row["count"]), int(row["digest"]), int(row["first"])
            expected.unsure += int(row["unsure"])
            if not count:
                continue
            if newest is not None and first == newest:
                count, digest = count - 1, digest - int(row["first_digest"])
            elif newest is not None and first < newest:
                expected.repeats += count
            expected.count += count
            expected.digest = (expected.digest + digest) & _ALL_BITS
            self._newest[labels] = max(self._newest.get(labels, first), int(row["newest"]))

    def hours_of_metrics(self) -> dict[str, list[int]]:
        """Return the hours in which each metric was written."""
        found: dict[str, set[int]] = {}
        for labels, hours in self.series.items():
            found.setdefault(dict(labels)["__name__"], set()).update(hours)
        return {name: sorted(hours) for name, hours in sorted(found.items())}


def read_expectation(
    directory: str, headers: Mapping[str, str], *, until_ms: int | None = None, ignore: Collection[str] = ()
) -> Expectation:
    """
    Return what a receiver should hold.

    :param directory: the directory of the digests.
    :param headers: the headers of queries, which may name a tenant.
    :param until_ms: hours that begin at this time or later are left out; ``None`` to keep all.
    :param ignore: labels that are left out.
    :raises OSError: if a file cannot be read.
    """
    sent = {(name.lower(), value) for name, value in headers.items()}
    expectation = Expectation()
    for series, rows in read_digests(directory):
        if until_ms is not None:
            rows = rows[rows["hour"] * HOUR_MS < until_ms]  # noqa: PLW2901
        if not len(rows):
            continue
        starts = np.concatenate([[0], np.flatnonzero(rows["series"][1:] != rows["series"][:-1]) + 1])
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)]):
            labels, tenant = series[int(rows["series"][start])]
            if {(name.lower(), value) for name, value in tenant.items()} <= sent:
                kept = tuple(sorted(pair for pair in labels.items() if pair[0] not in ignore))
                expectation.add(kept, rows[start:stop])
            else:
                expectation.of_other_tenants += 1
    return expectation
