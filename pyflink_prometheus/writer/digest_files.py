"""Digests of written samples in files: the labels of series as lines of JSON, and rows of numbers."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.model.labels import LabelPairs
from pyflink_prometheus.wire.series import Tenant

HOUR_MS = 3_600_000

#: A row: the written samples of a series and an hour. Several rows of the same series and hour add up.
ROW = np.dtype(
    [
        ("series", "<i4"),  # its line in the file of labels, from 0
        ("hour", "<i8"),  # since 1970
        ("count", "<i4"),
        ("unsure", "<i4"),  # how many more may be stored
        ("first", "<i8"),  # the timestamp of the sample that was written first
        ("first_digest", "<u8"),
        ("newest", "<i8"),  # the newest timestamp
        ("digest", "<u8"),
    ]
)
Rows = npt.NDArray[Any]

_COMPACT_FROM = 16 * 1024 * 1024


def summed(rows: Rows) -> Rows:
    """Return one row for each series and hour; the first row with samples says which was written first."""
    if len(rows) < 2:
        return rows
    order = np.lexsort((rows["count"] == 0, rows["hour"], rows["series"]))
    rows = rows[order]
    differs = (rows["series"][1:] != rows["series"][:-1]) | (rows["hour"][1:] != rows["hour"][:-1])
    starts = np.concatenate([[0], np.flatnonzero(differs) + 1])
    result: Rows = rows[starts].copy()
    for name in ("count", "unsure", "digest"):
        result[name] = np.add.reduceat(rows[name], starts)
    result["newest"] = np.maximum.reduceat(rows["newest"], starts)
    return result


class DigestFiles:
    """
    The files of one writer: one of labels, and one of rows, which is rewritten when it has grown a lot.

    :param directory: created if missing.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._name = f"written-{time.time_ns()}-{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._labels: FileIO | None = None
        self._rows: FileIO | None = None
        self._size = 0
        self._compact_at = _COMPACT_FROM

    def write(self, series: Sequence[tuple[LabelPairs, Tenant]], rows: Rows) -> None:
        """
        Add series and rows. A killed worker loses none of them; a machine that loses power may.

        :raises OSError: if they cannot be written. Then nothing is written, so that they can be written later.
        """
        if self._labels is None or self._rows is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._labels = (self._directory / f"{self._name}.labels").open("ab", buffering=0)
            self._rows = (self._directory / f"{self._name}.digests").open("ab", buffering=0)
        lines = [json.dumps([dict(labels), dict(tenant)]) + "\n" for labels, tenant in series]
        end_of_labels, end_of_rows = (file.seek(0, os.SEEK_END) for file in (self._labels, self._rows))
        try:
            _write_all(self._labels, "".join(lines).encode("ascii"))
            _write_all(self._rows, rows.tobytes())
        except OSError:  # on a full disk, perhaps after a part was written
            self._rows.truncate(end_of_rows)
            self._labels.truncate(end_of_labels)
            raise
        self._size += rows.nbytes
        if self._size >= self._compact_at:
            self._compact()

    def close(self) -> None:
        """Close the files."""
        for file in (self._labels, self._rows):
            if file is not None:
                file.close()
        self._labels = self._rows = None

    def _compact(self) -> None:
        path = self._directory / f"{self._name}.digests"
        rows = summed(_rows_of(path))
        new = path.with_suffix(".new")
        try:
            new.write_bytes(rows.tobytes())
            os.replace(new, path)
        except OSError:  # no room for it; the rows are still in the old file
            new.unlink(missing_ok=True)
            self._compact_at = 2 * self._size
            return
        if self._rows is not None:
            self._rows.close()
        self._rows = path.open("ab", buffering=0)
        self._size = rows.nbytes
        self._compact_at = max(_COMPACT_FROM, 4 * rows.nbytes)


class WrittenBy(NamedTuple):
    """
    What one writer has written.

    :param series: labels and tenant of each series.
    :param rows: one for each series and hour, sorted by series and hour.
    """

    series: list[tuple[dict[str, str], dict[str, str]]]
    rows: Rows


def read_digests(directory: str) -> Iterator[WrittenBy]:
    """
    Yield what each writer has written, in the order in which the writers began.

    :raises OSError: if a file cannot be read.
    """
    for path in sorted(_files_in(directory), key=lambda path: (len(path.name), path.name)):
        rows = summed(_rows_of(path))  # before the labels, which are always written first
        with path.with_suffix(".labels").open(encoding="ascii") as lines:
            series = [tuple(json.loads(line)) for line in lines if line.endswith("\n")]
        yield WrittenBy(series, rows[rows["series"] < len(series)])


def last_written(directory: str) -> float:
    """Return when a file of digests was last written, in seconds since 1970."""
    return max((path.stat().st_mtime for path in _files_in(directory)), default=0.0)


def _files_in(directory: str) -> Iterator[Path]:
    return Path(directory).glob("written-*.digests")


def _write_all(file: FileIO, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]


def _rows_of(path: Path) -> Rows:
    content = path.read_bytes()
    return np.frombuffer(content, ROW, len(content) // ROW.itemsize)  # a last row may have been cut short
