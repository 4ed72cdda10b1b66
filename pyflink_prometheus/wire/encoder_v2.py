"""Encode samples as a Remote-Write 2.0 request (``proto/remote_write_v2.proto``), with its table of symbols."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import cast

from pyflink_prometheus.checks import METRIC_TYPES
from pyflink_prometheus.histogram import NativeHistogram
from pyflink_prometheus.wire.histogram import encode_histogram
from pyflink_prometheus.wire.point import PointOrFloat, Run, runs
from pyflink_prometheus.wire.sample import SAMPLE_HEAD, TAIL_SIZE, all_ordinary, encode_sample, encode_tails
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.wire.varint import encode_varint

CONTENT_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
VERSION_HEADER = "2.0.0"

# References to the symbols of all but the largest requests.
_REFERENCES = [encode_varint(number) for number in range(1 << 14)]


def encode_request(
    series: Sequence[Series], timestamps: Sequence[int], values: Sequence[PointOrFloat], *, plain: bool
) -> bytes:
    """
    Return a ``Request`` message.

    Pure, and called on any thread. The three columns are of the same length; what they hold has been checked.

    :param series: each sample's series; samples of one series stand together, in order of time.
    :param timestamps: milliseconds since 1970, of any size that an int64 has.
    :param values: floats or points.
    :param plain: whether all values are floats.
    """
    symbols = _Symbols()
    if plain and all_ordinary(timestamps):
        tails = encode_tails(timestamps, cast("Sequence[float]", values))
        message = list(_encode_floats(series, tails, symbols))  # the symbols are complete only after it
    else:
        message = [_encode_run(run, symbols) for run in runs(series, timestamps, values)]
    return b"".join([*symbols.encoded(), *message])


class _Symbols:
    """
    Number the strings of one request in the order in which they are first asked for.

    In that order what all series share comes first, so that most references are one byte, and a series' own strings
    stand together; sorting them would take 3 to 5 % off the compressed request (``benchmarks/encode.py``'s data) and
    cost more time than the rest of it.

    :ivar references: from a string to its number as a varint; one that is new gets the next.
    """

    def __init__(self) -> None:
        numbers = chain(_REFERENCES, map(encode_varint, count(len(_REFERENCES))))
        self.references: defaultdict[str, bytes] = defaultdict(numbers.__next__)
        self.references[""]
        self._metadata: dict[tuple[str, str, str] | None, bytes] = {None: b""}

    def encoded(self) -> list[bytes]:
        """Return the ``symbols`` field, in parts."""
        return [_symbol_head(len(text)) + text for text in map(str.encode, self.references)]

    def labels(self, symbols: Sequence[str]) -> bytes:
        """Return names and values in turn as a ``labels_refs`` field."""
        references = b"".join(map(self.references.__getitem__, symbols))
        return b"\x0a" + encode_varint(len(references)) + references

    def metadata(self, metadata: tuple[str, str, str] | None) -> bytes:
        """Return metadata as the ``metadata`` field of a TimeSeries."""
        encoded = self._metadata.get(metadata)
        if encoded is None:
            kind, text, unit = cast("tuple[str, str, str]", metadata)
            texts = b"\x18" + self.references[text] + b"\x20" + self.references[unit]
            inside = b"\x08" + encode_varint(METRIC_TYPES.index(kind)) + texts
            encoded = self._metadata[metadata] = b"\x2a" + encode_varint(len(inside)) + inside
        return encoded


@lru_cache(maxsize=1 << 12)
def _symbol_head(length: int) -> bytes:
    return b"\x22" + encode_varint(length)


@lru_cache(maxsize=1 << 12)
def _head(references: int, rest: int) -> bytes:
    """Return what comes before the references of a TimeSeries of which so many bytes come after them."""
    labels = b"\x0a" + encode_varint(references)
    return b"\x2a" + encode_varint(len(labels) + references + rest) + labels


def _encode_floats(series: Sequence[Series], tails: list[bytes], symbols: _Symbols) -> Iterable[bytes]:
    reference, join = symbols.references.__getitem__, b"".join
    if len({known.head for known in series}) == len(series):
        # The common case: every series once. Written so that the loops over the columns are not Python's own.
        references = [join(map(reference, known.symbols)) for known in series]
        before = [symbols.metadata(known.metadata) + SAMPLE_HEAD for known in series]
        heads = map(_head, map(len, references), [len(each) + TAIL_SIZE for each in before])
        return chain.from_iterable(zip(heads, references, before, tails))
    message: list[bytes] = []
    start, end = 0, len(tails)
    while start < end:
        known = series[start]
        stop = start + 1
        while stop < end and series[stop].head == known.head:
            stop += 1
        known = series[stop - 1]
        labels = join(map(reference, known.symbols))
        rest = SAMPLE_HEAD.join([symbols.metadata(known.metadata), *tails[start:stop]])
        message += (_head(len(labels), len(rest)), labels, rest)
        start = stop
    return message


def _encode_run(run: Run, symbols: _Symbols) -> bytes:
    parts = [symbols.labels(run.series.symbols), symbols.metadata(run.series.metadata)]
    for value, timestamp in run.samples:
        if isinstance(value, NativeHistogram):
            inside = encode_histogram(value, timestamp, run.start_timestamp)
            parts += (b"\x1a", encode_varint(len(inside)), inside)
        else:
            parts.append(encode_sample(value, timestamp, run.start_timestamp))
    for labels, value, timestamp in run.exemplars:
        inside = symbols.labels([text for label in labels for text in label])
        inside += b"\x11" + struct.pack("<d", value) + b"\x18" + encode_varint(timestamp)
        parts += (b"\x22", encode_varint(len(inside)), inside)
    if run.start_timestamp:
        # What rc.4 has in each sample, earlier ones have in the series; a receiver skips the one that it does not know.
        parts.append(b"\x30" + encode_varint(run.start_timestamp))
    message = b"".join(parts)
    return b"\x2a" + encode_varint(len(message)) + message
