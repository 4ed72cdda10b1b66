"""Rejected samples in files (dead letters), one JSON object per line."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from pyflink_prometheus._validation import shown
from pyflink_prometheus.config import check_header
from pyflink_prometheus.model.exemplars import Exemplar, checked_exemplar
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import (
    STALE_MARKER,
    Value,
    checked_sample,
    is_stale_marker,
)
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.rejected import RejectedSamples

_log = logging.getLogger(__name__)

_HISTOGRAM_FIELDS = (
    "schema",
    "count",
    "sum",
    "zero_threshold",
    "zero_count",
    "positive",
    "negative",
    "custom_values",
    "is_gauge",
)


class JsonLinesRejectedSamples:
    """
    A handler that writes rejected samples to files in a directory, one JSON object per line.

    :func:`read_rejected_samples` reads them. Each writer has its own files, created when the first sample is rejected
    and rotated by size. Samples that were rejected before a checkpoint are on disk when the checkpoint completes.

    :param directory: the directory on each worker; created if missing.
    :param max_file_size_bytes: the size after which a new file is started. Default 64 MiB.
    """

    def __init__(self, directory: str, max_file_size_bytes: int = 64 * 1024 * 1024) -> None:
        self._directory = os.fspath(directory)
        self._max_file_size_bytes = max_file_size_bytes
        self._file: TextIO | None = None
        self._size = 0

    def __call__(self, rejected: Sequence[RejectedSamples]) -> None:
        """Write a line for each element."""
        for each in rejected:
            if self._file is None:
                self._file = self._open()
            self._size += self._file.write(json.dumps(_as_json(each)) + "\n")  # ASCII: a character is a byte
            if self._size >= self._max_file_size_bytes:
                self.close()

    def flush(self) -> None:
        """Write everything to disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write everything to disk and close the file."""
        if self._file is not None:
            try:
                self.flush()
            finally:  # also if the disk is full
                file, self._file, self._size = self._file, None, 0
                file.close()

    def __repr__(self) -> str:
        return f"JsonLinesRejectedSamples({self._directory!r}, max_file_size_bytes={self._max_file_size_bytes})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_size": 0}

    def _open(self) -> TextIO:
        directory = Path(self._directory)
        directory.mkdir(parents=True, exist_ok=True)
        name = (
            f"rejected-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        )
        return (directory / f"{name}.jsonl").open("x", encoding="utf-8")


def read_rejected_samples(directory: str) -> Iterator[RejectedSamples]:
    """
    Yield the samples that :class:`JsonLinesRejectedSamples` wrote to a directory, oldest file first.

    Skips damaged lines with a warning, such as a last line that was cut short by a crash: Flink replays its record.
    """
    for path in files_in(directory):
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    rejected = from_line(line)
                except ValueError as error:
                    _log.warning("check line %d of %s: it is damaged and was skipped (%s)", number, path, error)
                    continue
                yield rejected


def files_in(directory: str | os.PathLike[str]) -> list[Path]:
    """Return the files of a directory, oldest first."""
    return sorted(Path(directory).glob("rejected-*.jsonl"))


def from_line(line: bytes) -> RejectedSamples:
    """
    Return the samples that a line of a file holds.

    :raises ValueError: if it was cut short or changed; the message does not show its content.
    """
    try:
        read = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None
    try:
        return _from_json(read)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"it does not hold rejected samples: {type(error).__name__}") from None


def _as_json(rejected: RejectedSamples) -> dict[str, Any]:
    about = {
        "count": rejected.count,
        "reason": rejected.reason.value,
        "status": rejected.status,
        "message": rejected.message,
        **({"tenant": dict(rejected.tenant)} if rejected.tenant else {}),
    }
    if rejected.record is None and rejected.candidates:
        return {"candidates": [_series_as_json(each) for each in rejected.candidates], **about}
    try:
        return {**_series_as_json(PrometheusTimeSeries(*rejected.record)), **about}
    except Exception:  # not a valid series, and a user's object may raise anything
        return {"record": shown(rejected.record, sys.maxsize), **about}


def _series_as_json(series: PrometheusTimeSeries) -> dict[str, Any]:
    series.check()
    samples = [checked_sample(sample) for sample in series.samples]
    written: dict[str, Any] = {
        "metric_name": series.metric_name,
        "labels": dict(series.labels),
        "samples": [
            [value_as_json(value), timestamp, *([start] if start else [])] for value, timestamp, start in samples
        ],
    }
    if series.metadata is not None:
        written["metadata"] = list(series.metadata)
    if series.exemplars:
        exemplars = [checked_exemplar(exemplar) for exemplar in series.exemplars]
        written["exemplars"] = [[dict(labels), repr(value), timestamp] for labels, value, timestamp in exemplars]
    return written


def value_as_json(value: Value) -> Any:
    """Return the value of a sample as JSON has it."""
    if isinstance(value, NativeHistogram):
        fields = {name: getattr(value, name) for name in _HISTOGRAM_FIELDS}
        return {**fields, "sum": repr(value.sum)}
    # As text, because JSON has no NaN and no infinities.
    return "stale" if is_stale_marker(value) else repr(value)


def _from_json(read: dict[str, Any]) -> RejectedSamples:
    record = _series_from_json(read) if "metric_name" in read else read.get("record")
    candidates = tuple(_series_from_json(each) for each in read.get("candidates", ()))
    count, message, status, tenant = read["count"], read["message"], read["status"], read.get("tenant", {})
    if type(count) is not int or not isinstance(message, str) or type(status) not in (int, type(None)):
        raise TypeError
    if count < 1:
        raise ValueError
    for name, value in tenant.items():
        check_header(name, value)
    return RejectedSamples(record, count, RejectionReason(read["reason"]), message, status, candidates, tenant)


def _series_from_json(read: dict[str, Any]) -> PrometheusTimeSeries:
    return PrometheusTimeSeries(
        read["metric_name"],
        read["labels"],
        tuple((value_from_json(value), *times) for value, *times in read["samples"]),
        Metadata(*read["metadata"]) if "metadata" in read else None,
        tuple(Exemplar(labels, float(value), timestamp) for labels, value, timestamp in read.get("exemplars", ())),
    ).check()


def value_from_json(value: Any) -> Value:
    """Return the value of a sample from JSON."""
    if isinstance(value, dict):
        return NativeHistogram(**{**value, "sum": float(value["sum"])})
    return STALE_MARKER if value == "stale" else float(value)
