"""Files of OpenMetrics text, one for each time range, which promtool turns into blocks."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import count, groupby
from pathlib import Path

from pyflink_prometheus.rescue.late_samples import LateSample, LateSamples
from pyflink_prometheus.rescue.openmetrics_text import END, STALE_MARKERS, lines, unsayable

SUFFIX = ".om"
EXEMPLARS = "exemplars"
_LONGEST_NAME = 200  # file systems have 255 bytes


@dataclass
class WrittenFiles:
    """
    The written files and counts.

    :ivar files: the files, by tenant, then by time.
    :ivar samples: how many samples are in them.
    :ivar left_out: how many could not be written, by kind.
    """

    files: list[Path] = field(default_factory=list)
    samples: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> int:
        """How many left-out samples Prometheus can store, but text or blocks cannot; stale markers do not count."""
        return self.left_out.total() - self.left_out[EXEMPLARS] - self.left_out[STALE_MARKERS]


def write_files(samples: LateSamples, folder: Path, range_ms: int) -> WrittenFiles:
    """
    Write samples to files in a folder, or in a subfolder for each tenant.

    Each file is either complete or absent. One sample at a time is in memory.

    :param range_ms: the length of the time range of a file, in milliseconds.
    """
    written, folders = WrittenFiles(), _TenantFolders()

    def place(sample: LateSample) -> tuple[str, int]:
        return folders.name_of(sample.tenant), sample.timestamp // range_ms * range_ms

    def sayable(sample: LateSample) -> bool:
        written.left_out[EXEMPLARS] += len(sample.exemplars)
        kind = unsayable(sample)
        if kind is not None:
            written.left_out[kind] += 1
        return kind is None

    for (tenant, start_ms), of_file in groupby(filter(sayable, samples.by_range(range_ms)), place):
        path = folder / tenant / f"{_time(start_ms)}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:

            def counted(sample: LateSample) -> LateSample:
                written.samples += 1
                return sample

            file.writelines(lines(map(counted, of_file)))
            file.write(END)
        os.replace(unfinished, path)
        written.files.append(path)
    written.left_out += Counter()  # drops zeros
    return written


class _TenantFolders:
    """The names of the tenants' folders, one for each tenant; "" for no tenant."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, str]] = {}
        self._last: tuple[dict[str, str], str] = ({}, "")

    def name_of(self, tenant: dict[str, str]) -> str:
        if tenant != self._last[0]:
            self._last = tenant, self._new_name(tenant) if tenant else ""
        return self._last[1]

    def _new_name(self, tenant: dict[str, str]) -> str:
        plain = "tenant-" + "-".join(re.sub(r"[^A-Za-z0-9._]", "_", value) for value in tenant.values())[:_LONGEST_NAME]
        # Some file systems do not distinguish upper case from lower case.
        name, numbers = plain, count(2)
        while self._tenants.setdefault(name.lower(), tenant) != tenant:
            name = f"{plain}-{next(numbers)}"
        return name


def _time(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    except (OverflowError, OSError, ValueError):  # beyond the calendar
        return str(milliseconds)
