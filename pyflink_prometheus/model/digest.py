"""A number for each sample; their sum identifies a set of samples, whatever their order."""

from __future__ import annotations

import math
import struct

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.model.samples import STALE_MARKER

Digests = npt.NDArray[np.uint64]

_STALE = np.uint64(struct.unpack("<Q", struct.pack("<d", STALE_MARKER))[0])
_NAN = np.uint64(0x7FF8_0000_0000_0000)
# The constants of SplitMix64, with which each bit of the result depends on all bits of the number.
_FIRST, _SECOND, _STEP = (np.uint64(each) for each in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15))
_HISTOGRAM = 0x5851F42D4C957F2D
_ALL_BITS = (1 << 64) - 1


def value_bits(values: npt.NDArray[np.float64]) -> Digests:
    """
    Return the bits of each float. All NaNs have the same bits, except for the stale marker.

    Prometheus's API returns values as text, which preserves every bit of a number but no payload of a NaN.
    """
    bits = values.view(np.uint64)
    unordered = np.isnan(values)
    return np.where(unordered & (bits != _STALE), _NAN, bits) if unordered.any() else bits


def histogram_bits(count: float, total: float) -> int:
    """Return bits that represent a native histogram by its count and its sum, which the API returns exactly."""
    values = value_bits(np.array([count, total], np.float64))
    mixed = _mixed(values)
    return (int(mixed[0]) * 3 + int(mixed[1]) + _HISTOGRAM) & _ALL_BITS


def are_stale(bits: Digests) -> npt.NDArray[np.bool_]:
    """Return which values are stale markers, which Prometheus's API does not return."""
    stale: npt.NDArray[np.bool_] = bits == _STALE
    return stale


def sample_digests(timestamps: npt.NDArray[np.int64], bits: Digests) -> Digests:
    """Return a number for each sample."""
    return _mixed(timestamps.view(np.uint64) * _STEP + _mixed(bits))


def nan_digests(timestamps: npt.NDArray[np.int64]) -> Digests:
    """Return the numbers that samples at these times have if their value is NaN."""
    return sample_digests(timestamps, np.full(len(timestamps), _NAN))


def total_digest(digests: Digests) -> int:
    """Return the number for a set of samples."""
    return int(np.add.reduce(digests)) if len(digests) else 0


def parsed_value(text: str) -> float:
    """Return the value that a text of Prometheus's API holds."""
    return math.nan if text == "NaN" else float(text)


def _mixed(numbers: Digests) -> Digests:
    mixed = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
