"""The files of rejected samples, or the parts of them that are to be rescued."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pyflink_prometheus.rescue.late_samples import LateSamples
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.rejected_files import files_in, from_line

_log = logging.getLogger(__name__)

#: Samples that were sent, or were to be sent, as they are: after relabelling, and good as far as is known.
RESCUED_REASONS = (
    RejectionReason.REFUSED,
    RejectionReason.UNCONFIRMED,
    RejectionReason.RETRIES_EXHAUSTED,
    RejectionReason.OVERFLOW,
    RejectionReason.UNSENT,
)

#: The bytes of a file from the first to before the second.
Span = tuple[int, int]


def find_files(paths: Iterable[Path], taken: Mapping[str, int] | None = None) -> dict[str, Span]:
    """
    Return what is new in files.

    :param paths: files, or directories of them.
    :param taken: how many bytes of each file are not new.
    :raises FileNotFoundError: if a path does not exist.
    """
    found: dict[str, Span] = {}
    for path in paths:
        for file in files_in(path) if path.is_dir() else [path]:
            name, size = str(file.absolute()), file.stat().st_size
            start = (taken or {}).get(name, 0)
            if size > start:
                found[name] = (start, size)
    return found


def read_files(
    spans: Mapping[str, Span], samples: LateSamples, reasons: Collection[RejectionReason] = RESCUED_REASONS
) -> Counter[str]:
    """
    Add the samples of files to a collection.

    :param spans: the files, and which part of each. A line that is not complete is not read.
    :param reasons: those for which they were rejected.
    :return: how many samples, and lines, were left out, by why.
    """
    left_out: Counter[str] = Counter()
    for name, (start, stop) in spans.items():
        with Path(name).open("rb") as file:
            file.seek(start)
            while file.tell() < stop and (line := file.readline()).endswith(b"\n"):
                _read_line(name, line, samples, reasons, left_out)
    return left_out


def _read_line(
    name: str, line: bytes, samples: LateSamples, reasons: Collection[RejectionReason], left_out: Counter[str]
) -> None:
    try:
        rejected = from_line(line)
    except ValueError as error:
        _log.warning("%s: skipped a line: %s", name, error)
        left_out["lines that cannot be read"] += 1
        return
    if rejected.reason not in reasons:
        left_out[f"rejected as {rejected.reason.value}"] += rejected.count
        return
    if not rejected.series:
        left_out["not a valid series"] += rejected.count
    for series in rejected.series:
        samples.add(series, rejected.tenant)
