"""The encoder of Remote-Write 2.0 requests (``proto/remote_write_v2.proto``), with their table of symbols."""

from __future__ import annotations

import struct
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.metadata import METRIC_TYPES
from pyflink_prometheus.wire.encoder_histogram import encode_histogram
from pyflink_prometheus.wire.encoder_sample import (
    NO_SAMPLES_TEXT,
    ORDINARY_SAMPLE_SIZE,
    all_ordinary,
    encode_ordinary,
    encode_sample,
)
from pyflink_prometheus.wire.request_columns import Columns
from pyflink_prometheus.wire.runs import Run, SeriesRuns, messages, series_runs
from pyflink_prometheus.wire.table import Numbers, SeriesTable
from pyflink_prometheus.wire.varint import encode_rows, encode_varint, groups, widths

CONTENT_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
VERSION_HEADER = "2.0.0"

# The fields of a TimeSeries, and of its metadata, as tags.
_TIMESERIES, _LABELS, _METADATA = 0x2A, 0x0A, 0x2A
_TYPE, _HELP, _UNIT = 0x08, 0x18, 0x20

# Tag and length of each short symbol, as text.
_SHORT_HEADS = ["\x22" + chr(length) for length in range(1 << 7)]


def encode_request(columns: Columns) -> bytes:
    """
    Return a ``Request`` message.

    Pure; called on any thread. Every receiver accepts a message without samples and stores nothing, and nothing else
    accepts one.
    """
    if not len(columns.timestamps):
        return encode_text(NO_SAMPLES_TEXT)
    runs = series_runs(columns)
    symbols = _Symbols(columns.table, runs.numbers)
    if columns.points or not all_ordinary(columns.timestamps):
        heads = symbols.heads(runs)
        message = [_encode_message(run, heads[run.series], symbols) for run in messages(columns)]  # may add symbols
    else:
        samples = encode_ordinary(columns.timestamps, columns.values)
        message = [_encode_floats(runs, shape, samples) for shape in symbols.shapes]
    return b"".join([_encode_texts(symbols.texts), *message])


def encode_text(text: bytes) -> bytes:
    """Return a message without samples that holds a text as a symbol, to which nothing refers."""
    return _encode_texts(["", text.decode("ascii")])


class _Shape(NamedTuple):
    """
    Series with the same number of labels, all with metadata or all without, so that their numbers form a matrix.

    :param places: where they are among the runs.
    :param references: the symbols of their labels, a row each.
    :param metadata: the numbers in their ``metadata`` field, a row each; without columns if they have none.
    """

    places: npt.NDArray[np.int64]
    references: Numbers
    metadata: Numbers


class _Symbols:
    """
    The strings of one request, in order of their first use by the writer.

    In that order strings that all series share come first, so most references are one byte, and those of one series are
    adjacent. Sorting would save 3 to 5 % of the compressed request (``benchmarks/encode.py``'s data) but take more time
    than all the rest of the encoding.

    :param table: the table of the series.
    :param series: the series of the request, by number.
    :ivar texts: the strings.
    :ivar shapes: the series, grouped.
    """

    def __init__(self, table: SeriesTable, series: Numbers) -> None:
        begins, metadata = table.bounds[series], table.metadata_of[series]
        sizes = table.bounds[series + 1] - begins
        used = np.zeros(len(table.texts), np.bool_)
        used[0] = True
        references = []
        for size, places in groups(sizes * 2 + (metadata > 0)):
            references.append((places, table.references[begins[places, None] + np.arange(size // 2)]))
            used[references[-1][1]] = True
        kinds, kind_of = np.unique(metadata, return_inverse=True) if metadata.any() else (metadata[:0], metadata)
        described = [each for number in kinds.tolist() if (each := table.metadata[number]) is not None]
        for each in described:
            used[[each.help, each.unit]] = True
        chosen = np.flatnonzero(used)
        self.texts = list(map(table.texts.__getitem__, chosen.tolist()))
        self._numbers: dict[str, int] | None = None
        new_number = np.empty(len(used), np.int32)
        new_number[chosen] = np.arange(len(chosen))
        if table.may_repeat_texts and len(set(self.texts)) < len(self.texts):
            numbers: dict[str, int] = {}
            new_number[chosen] = [numbers.setdefault(text, len(numbers)) for text in self.texts]
            self.texts = list(numbers)
        rows = [_metadata(each.kind, int(new_number[each.help]), int(new_number[each.unit])) for each in described]
        if len(rows) < len(kinds):
            rows.insert(0, [0] * len(rows[0]))  # for the series without metadata, which come first
        of_kinds = np.array(rows, np.int32)
        self.shapes = [
            _Shape(
                places,
                new_number[symbols],
                of_kinds[kind_of[places]] if metadata[places[0]] else np.empty((len(places), 0), np.int32),
            )
            for places, symbols in references
        ]

    def number(self, text: str) -> int:
        """Return the number of a string, which may be a new one."""
        if self._numbers is None:
            self._numbers = {each: number for number, each in enumerate(self.texts)}
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return number

    def heads(self, runs: SeriesRuns) -> dict[int, bytes]:
        """Return the ``labels_refs`` and ``metadata`` fields of each series, by its number."""
        heads: dict[int, bytes] = {}
        for shape in self.shapes:
            numbers = runs.numbers[shape.places]
            for places, rows in encode_rows(_fields(shape)):
                heads.update(zip(numbers[places].tolist(), map(bytes, rows)))
        return heads


def _metadata(kind: str, text: int, unit: int) -> list[int]:
    """Return all numbers in the ``metadata`` field of a TimeSeries."""
    inside = [_TYPE, METRIC_TYPES.index(kind), _HELP, text, _UNIT, unit]
    return [_METADATA, int(widths(np.array(inside, np.int32)).sum()), *inside]


def _fields(shape: _Shape) -> Numbers:
    """Return all numbers in the ``labels_refs`` and ``metadata`` fields of series, a row each."""
    sizes = widths(shape.references).sum(axis=1, dtype=np.int32)
    tags = np.full(len(sizes), _LABELS, np.int32)
    return np.column_stack([tags, sizes, shape.references, shape.metadata])


def _encode_floats(runs: SeriesRuns, shape: _Shape, samples: npt.NDArray[np.uint8]) -> bytes:
    """Encode the common case: series whose samples are floats with ordinary timestamps."""
    counts, fields = runs.counts[shape.places], _fields(shape)
    sizes = widths(fields).sum(axis=1, dtype=np.int32) + (ORDINARY_SAMPLE_SIZE * counts).astype(np.int32)
    tags = np.full(len(sizes), _TIMESERIES, np.int32)
    heads = list(encode_rows(np.column_stack([tags, sizes, fields])))
    head_sizes = np.empty(len(sizes), np.int64)
    for places, rows in heads:
        head_sizes[places] = rows.shape[1]
    ends = np.cumsum(head_sizes + ORDINARY_SAMPLE_SIZE * counts)
    begins = np.append(0, ends[:-1])
    message = np.empty(int(ends[-1]), np.uint8)
    for places, rows in heads:
        _at(message, rows.shape[1])[begins[places]] = rows.view(f"V{rows.shape[1]}")[:, 0]
    first = np.cumsum(counts) - counts
    number = np.arange(int(counts.sum()))
    targets = np.repeat(begins + head_sizes - ORDINARY_SAMPLE_SIZE * first, counts) + ORDINARY_SAMPLE_SIZE * number
    sources = _at(samples.ravel(), ORDINARY_SAMPLE_SIZE)[::ORDINARY_SAMPLE_SIZE]
    if len(shape.places) < len(runs.numbers):
        sources = sources[np.repeat(runs.starts[shape.places] - first, counts) + number]
    _at(message, ORDINARY_SAMPLE_SIZE)[targets] = sources
    return message.tobytes()


def _at(content: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.void]:
    """Return a view of bytes as pieces of a size, one that begins at each byte, to copy many at once."""
    return np.ndarray((len(content) - size + 1,), f"V{size}", content, strides=(1,))


def _encode_texts(texts: list[str]) -> bytes:
    """Return the ``symbols`` field."""
    lengths = list(map(len, texts))
    if max(lengths) < len(_SHORT_HEADS):
        heads = map(_SHORT_HEADS.__getitem__, lengths)
        field = "".join(chain.from_iterable(zip(heads, texts)))
        if field.isascii():  # so lengths in characters and in bytes are equal
            return field.encode("ascii")
    return b"".join([b"\x22" + encode_varint(len(text)) + text for text in map(str.encode, texts)])


def _encode_message(run: Run, head: bytes, symbols: _Symbols) -> bytes:
    parts = [head]
    for value, timestamp in run.samples:
        if isinstance(value, NativeHistogram):
            inside = encode_histogram(value, timestamp, run.start_timestamp)
            parts += (b"\x1a", encode_varint(len(inside)), inside)
        else:
            parts.append(encode_sample(value, timestamp, run.start_timestamp))
    for labels, value, timestamp in run.exemplars:
        references = b"".join([encode_varint(symbols.number(text)) for label in labels for text in label])
        inside = b"\x0a" + encode_varint(len(references)) + references
        inside += b"\x11" + struct.pack("<d", value) + b"\x18" + encode_varint(timestamp)
        parts += (b"\x22", encode_varint(len(inside)), inside)
    if run.start_timestamp:
        # rc.4 has it in each sample, earlier drafts in the series; a receiver skips the field that it does not know.
        parts.append(b"\x30" + encode_varint(run.start_timestamp))
    message = b"".join(parts)
    return b"\x2a" + encode_varint(len(message)) + message
