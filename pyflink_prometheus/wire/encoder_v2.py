"""The encoder of Remote-Write 2.0 requests (``proto/remote_write_v2.proto``), with their table of symbols."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, count, repeat
from typing import cast

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.model.metadata import METRIC_TYPES
from pyflink_prometheus.wire.encoder_histogram import encode_histogram
from pyflink_prometheus.wire.encoder_sample import (
    NO_SAMPLES_TEXT,
    SAMPLE_HEAD,
    TAIL_SIZE,
    all_ordinary,
    encode_sample,
    encode_tails,
)
from pyflink_prometheus.wire.point import PointOrFloat, Run, runs
from pyflink_prometheus.wire.series import Family, Series
from pyflink_prometheus.wire.varint import encode_varint

CONTENT_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
VERSION_HEADER = "2.0.0"

# Encoded references, enough for the symbols of all but the largest requests.
_REFERENCES = [encode_varint(number) for number in range(1 << 14)]
# Tag and length of each short symbol, as text.
_SHORT_HEADS = ["\x22" + chr(length) for length in range(1 << 7)]


def encode_request(
    series: Sequence[Series], timestamps: Sequence[int], values: Sequence[PointOrFloat], *, plain: bool
) -> bytes:
    """
    Return a ``Request`` message.

    Pure; called on any thread. The three columns have the same length and checked contents. A message without samples
    is accepted by every receiver, which stores nothing, and by nothing else.

    :param series: each sample's series; samples of one series are adjacent, in order of time.
    :param timestamps: milliseconds since 1970, any int64.
    :param values: floats or points.
    :param plain: whether all values are floats.
    """
    symbols = _Symbols()
    if not timestamps:
        symbols.references[NO_SAMPLES_TEXT.decode("ascii")]  # nothing refers to it
        return symbols.encoded()
    if plain and all_ordinary(timestamps):
        tails = encode_tails(timestamps, cast("Sequence[float]", values))
        message = list(_encode_floats(series, tails, symbols))  # the symbols are complete only after it
    else:
        message = [_encode_run(run, symbols) for run in runs(series, timestamps, values)]
    return b"".join([symbols.encoded(), *message])


class _Symbols:
    """
    The strings of one request, numbered in order of first use.

    In that order strings that all series share come first, so most references are one byte, and those of one series are
    adjacent. Sorting would save 3 to 5 % of the compressed request (``benchmarks/encode.py``'s data) but take more time
    than all the rest of the encoding.

    :ivar references: from a string to its number as a varint; a new string gets the next number.
    :ivar templates: from a family to the beginning of its series' floats.
    """

    def __init__(self) -> None:
        numbers = chain(_REFERENCES, map(encode_varint, count(len(_REFERENCES))))
        self.references: defaultdict[str, bytes] = defaultdict(numbers.__next__)
        self.references[""]
        self._metadata: dict[tuple[str, str, str] | None, bytes] = {None: b""}
        self.templates = _Templates(self)

    def encoded(self) -> bytes:
        """Return the ``symbols`` field."""
        texts = list(self.references)
        lengths = list(map(len, texts))
        if max(lengths) < len(_SHORT_HEADS):
            heads = map(_SHORT_HEADS.__getitem__, lengths)
            field = "".join(chain.from_iterable(zip(heads, texts)))
            if field.isascii():  # so lengths in characters and in bytes are equal
                return field.encode("ascii")
        return b"".join([b"\x22" + encode_varint(len(text)) + text for text in map(str.encode, texts)])

    def begin(self, series: Sequence[Series]) -> list[bytes]:
        """
        Return the beginning of each series' floats: see :class:`_Templates`.

        Series of one family are processed by column: a shared value is looked up once, and the loops run in C.
        """
        reference, templates = self.references.__getitem__, self.templates
        families = [each.family for each in series]
        if families.count(families[0]) < len(families):
            return [
                templates[family] % tuple(map(reference, family.values(each.texts)))
                for family, each in zip(families, series)
            ]
        varying: list[Iterator[bytes]] = []

        def values() -> Iterator[bytes]:
            for column in families[0].columns([each.texts for each in series]):
                if column.count(column[0]) == len(column):
                    yield _escaped(reference(column[0]))
                else:
                    varying.append(map(reference, column))
                    yield b"%b"

        template = templates.make(families[0], values())
        return list(map(template.__mod__, zip(*varying))) if varying else [template % ()] * len(series)

    def labels(self, symbols: Sequence[str]) -> bytes:
        """Return alternating names and values as a ``labels_refs`` field."""
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


class _Templates(dict[Family, bytes]):
    """
    The beginnings of each family's floats in one request: references, metadata, and the first sample's head.

    Only the references of the labels' values differ between series; they are filled in with ``%``.

    :ivar tails: how many bytes of each template come after the references.
    """

    def __init__(self, symbols: _Symbols) -> None:
        self._symbols = symbols
        self.tails: dict[Family, int] = {}

    def __missing__(self, family: Family) -> bytes:
        template = self[family] = self.make(family, repeat(b"%b"))
        return template

    def make(self, family: Family, values: Iterator[bytes]) -> bytes:
        """Return a template with these values: references, or placeholders for them."""
        reference, parts = self._symbols.references.__getitem__, []
        for name in family.names:
            parts.append(_escaped(reference(name)))
            parts.append(_escaped(reference(family.metric_name)) if name == METRIC_NAME_LABEL else next(values))
        tail = self._symbols.metadata(family.metadata) + SAMPLE_HEAD
        self.tails[family] = len(tail)
        return b"".join([*parts, _escaped(tail)])


def _escaped(constant: bytes) -> bytes:
    return constant.replace(b"%", b"%%")


@lru_cache(maxsize=1 << 12)
def _head(references: int, rest: int) -> bytes:
    """Return the bytes before a TimeSeries' references, given how many bytes these and the rest take."""
    labels = b"\x0a" + encode_varint(references)
    return b"\x2a" + encode_varint(len(labels) + references + rest) + labels


# The same for one ordinary sample without metadata, by the number of bytes before the sample's value.
_ORDINARY_HEADS = [b""] * len(SAMPLE_HEAD) + [
    _head(references, len(SAMPLE_HEAD) + TAIL_SIZE) for references in range(1 << 9)
]


def _encode_floats(series: Sequence[Series], tails: Sequence[bytes], symbols: _Symbols) -> Iterable[bytes]:
    """Encode the common case, written so that the loops over the columns run in C."""
    heads = [each.head for each in series]
    one_each = len(set(heads)) == len(heads)
    if not one_each:
        series, tails = _join_samples(series, heads, tails)
    begins = symbols.begin(series)
    sizes, after = list(map(len, begins)), symbols.templates.tails
    if one_each and max(after.values()) == len(SAMPLE_HEAD) and max(sizes) < len(_ORDINARY_HEADS):
        encoded: Iterable[bytes] = map(_ORDINARY_HEADS.__getitem__, sizes)
    else:
        afters = [after[each.family] for each in series]
        encoded = [_head(size - each, each + len(tail)) for size, each, tail in zip(sizes, afters, tails)]
    return chain.from_iterable(zip(encoded, begins, tails))


def _join_samples(
    series: Sequence[Series], heads: list[bytes], tails: Sequence[bytes]
) -> tuple[list[Series], list[bytes]]:
    """Return each series once, with all bytes of its samples after the first one's head."""
    once: list[Series] = []
    joined: list[bytes] = []
    start, end = 0, len(heads)
    while start < end:
        head, stop = heads[start], start + 1
        while stop < end and heads[stop] == head:
            stop += 1
        once.append(series[stop - 1])  # the last one, because metadata may have changed
        joined.append(SAMPLE_HEAD.join(tails[start:stop]))
        start = stop
    return once, joined


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
        # rc.4 has it in each sample, earlier drafts in the series; a receiver skips the field that it does not know.
        parts.append(b"\x30" + encode_varint(run.start_timestamp))
    message = b"".join(parts)
    return b"\x2a" + encode_varint(len(message)) + message
