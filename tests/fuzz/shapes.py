"""Values of any shape, drawn from a random generator."""

from __future__ import annotations

import datetime
import decimal
import fractions
import random
import threading
from typing import Any

import numpy as np

from pyflink_prometheus import STALE_MARKER, Exemplar, Metadata, NativeHistogram

#: The present of all cases.
T = 1_700_000_000_000

TEXTS = ("", "a", "b", "room", "__name__", "é", "日本", "\ud800", "\0", "a\nb", '"', "\\", "x" * 3000, "1", "NaN", " ")


class Mischief(Exception):  # noqa: N818  (what users' classes raise is anything)
    """An error from the methods of users' objects."""


def _mischief(*_: Any) -> Any:
    raise Mischief


class BadRepr:
    __repr__ = _mischief


class BadIteration:
    __iter__ = _mischief


class BadNumber:
    __float__ = _mischief
    __index__ = _mischief


class BadLength(list):
    __len__ = _mischief


class BadHash(str):
    __slots__ = ()
    __hash__ = _mischief


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


def text(rng: random.Random) -> str:
    """Return a text, mostly one that is already in use."""
    if rng.random() < 0.7:
        return rng.choice(TEXTS[1:5])
    if rng.random() < 0.7:
        return rng.choice(TEXTS)
    return "".join(
        chr(rng.choice([rng.randrange(128), rng.randrange(0x3000), rng.randrange(0x110000)])) for _ in "abcd"
    )


def anything(rng: random.Random, depth: int = 2) -> Any:
    """Return any value."""
    if depth and rng.random() < 0.35:
        inner = [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
        shape = rng.randrange(6)
        if shape == 0:
            return {rng.choice(TEXTS): each for each in inner}
        if shape == 1:
            return (each for each in inner)
        if shape == 2:
            return BadLength(inner)
        if shape == 3:
            inner.append(inner)
            return inner
        return tuple(inner) if shape == 4 else inner
    plain: list[Any] = [
        *(None, True, 0, -1, T, 2**31, 2**62, 2**63, -(2**63), 10**30, 10**5000, 0.0, -0.0, 1.5, 1e308),
        *(float("inf"), float("nan"), 1j, b"", b"\xff", bytearray(b"a"), range(3), set(), frozenset("a")),
        *(np.float32(1.5), np.int64(T), np.uint64(2**64 - 1), np.datetime64(T, "ms"), np.bool_(True), np.array(1.0)),
        *(np.array([1.0, 2.0]), np.array([]), decimal.Decimal("sNaN"), decimal.Decimal("1e999999")),
        *(fractions.Fraction(1, 3), datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.timedelta(1)),
        *(datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), object, len, threading.Lock(), object()),
        *(BadRepr(), BadIteration(), BadNumber(), BadHash("h"), Text("t"), Whole(T), Real(2.5), STALE_MARKER),
        *(histogram(rng), Metadata("gauge"), Exemplar({"a": "b"}, 1.0, T)),
    ]
    return rng.choice(plain) if rng.random() < 0.7 else text(rng)


def histogram(rng: random.Random) -> NativeHistogram:
    """Return a histogram."""
    positive = {rng.randrange(-20, 20): rng.randrange(5) for _ in range(rng.randrange(4))}
    return NativeHistogram(schema=rng.randrange(-4, 9), sum=rng.choice([1.0, float("nan"), -1e300]), positive=positive)


def mostly(rng: random.Random, usual: Any, chance: float = 0.12) -> Any:
    """Return the usual value, or occasionally any other one."""
    return anything(rng) if rng.random() < chance else usual
