"""Files of OpenMetrics text, one for each range of time, of which promtool makes blocks."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

from pyflink_prometheus.rescue.late_samples import LateSample, LateSamples
from pyflink_prometheus.rescue.openmetrics_text import END, lines, unsayable

SUFFIX = ".om"


@dataclass
class WrittenFiles:
    """
    What was written.

    :ivar files: in order of time, tenant by tenant.
    :ivar samples: how many are in them.
    :ivar left_out: how many could not be written, by what they are.
    """

    files: list[Path] = field(default_factory=list)
    samples: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def write_files(samples: LateSamples, folder: Path, range_ms: int) -> WrittenFiles:
    """
    Write samples to files in a folder, and for each tenant in a folder within it.

    Each file is complete or not there. One sample at a time is in memory.

    :param range_ms: the length of the time that a file covers, in milliseconds.
    """
    written = WrittenFiles()

    def place(sample: LateSample) -> tuple[str, int]:
        return _folder_name(sample.tenant), sample.timestamp // range_ms * range_ms

    def sayable(sample: LateSample) -> bool:
        written.left_out["exemplars"] += len(sample.exemplars)
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


def _folder_name(tenant: dict[str, str]) -> str:
    """Return a name for the folder of a tenant; "" for none."""
    name = "-".join(re.sub(r"[^A-Za-z0-9._]", "_", value) for value in tenant.values())
    return f"tenant-{name}" if tenant else ""


def _time(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    except (OverflowError, OSError, ValueError):  # beyond the calendar
        return str(milliseconds)
