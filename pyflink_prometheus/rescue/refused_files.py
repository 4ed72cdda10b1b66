"""The files of rejected samples, or the parts of these files to rescue."""

from __future__ import annotations

import errno
import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyflink_prometheus.rescue.late_samples import LateSamples
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.rejected_files import files_in, from_line

_log = logging.getLogger(__name__)

#: Samples that were sent, or were to be sent, as they are: after relabelling, and valid as far as is known.
RESCUED_REASONS = (
    RejectionReason.REFUSED,
    RejectionReason.UNCONFIRMED,
    RejectionReason.RETRIES_EXHAUSTED,
    RejectionReason.OVERFLOW,
    RejectionReason.UNSENT,
)

#: The bytes of a file, from the first number up to but not including the second.
Span = tuple[int, int]

#: The counts for damaged files.
DAMAGED_LINES, INCOMPLETE_LINES = "lines that cannot be read", "last lines that are not complete"

_BLOCK = 65_536


@dataclass
class Reading:
    """
    The result of reading files, besides the samples.

    :ivar left_out: how many samples and lines were left out, by reason.
    :ivar digest: a digest of the lines and the reasons; it is equal only if both are the same.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    digest: str = ""


def find_files(paths: Iterable[Path], taken: Mapping[str, int] | None = None) -> dict[str, Span]:
    """
    Return the new complete lines of files. The last line may still be incomplete.

    :param paths: files, or directories of files.
    :param taken: how many bytes of each file are not new.
    :raises OSError: if a path does not exist or cannot be read, or a directory has no such files.
    """
    found: dict[str, Span] = {}
    for path in paths:
        files = files_in(path) if path.is_dir() else [path]
        if not files:
            raise FileNotFoundError(errno.ENOENT, "it contains no rejected-*.jsonl file", str(path))
        for file in files:
            name, size = str(file.absolute()), file.stat().st_size
            start = (taken or {}).get(name, 0)
            if size > start:
                found[name] = (start, max(start, _end_of_lines(file, size)))
    return found


def read_files(
    spans: Mapping[str, Span], samples: LateSamples, reasons: Collection[RejectionReason] = RESCUED_REASONS
) -> Reading:
    """
    Add the samples of files to a collection.

    :param spans: the files, and which part of each to read.
    :param reasons: read only samples that were rejected for these reasons.
    :raises OSError: if a file cannot be read.
    """
    reading, digest = Reading(), hashlib.sha256(repr(sorted(each.value for each in reasons)).encode())
    for name, (start, stop) in spans.items():
        with Path(name).open("rb") as file:
            file.seek(start)
            while file.tell() < stop and (line := file.readline(stop - file.tell())):
                digest.update(line)
                _read_line(name, line, samples, reasons, reading.left_out)
            if (rest := file.readline()) and not rest.endswith(b"\n"):
                reading.left_out[INCOMPLETE_LINES] += 1
    reading.digest = digest.hexdigest()
    return reading


def _end_of_lines(path: Path, size: int) -> int:
    """Return how many of the first bytes of a file are complete lines."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            if (found := file.read(end - start).rfind(b"\n")) >= 0:
                return start + found + 1
            end = start
    return 0


def _read_line(
    name: str, line: bytes, samples: LateSamples, reasons: Collection[RejectionReason], left_out: Counter[str]
) -> None:
    try:
        rejected = from_line(line)
    except ValueError as error:
        _log.warning("%s: skipped a line: %s", name, error)
        left_out[DAMAGED_LINES] += 1
        return
    if rejected.reason not in reasons:
        left_out[f"rejected as {rejected.reason.value}"] += rejected.count
        return
    if not rejected.series:
        left_out["not a valid series"] += rejected.count
    for series in rejected.series:
        samples.add(series, rejected.tenant)
