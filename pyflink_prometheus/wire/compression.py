"""Snappy's block format, by python-snappy or, where that is not installed, by pyarrow, which comes with PyFlink."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from pyflink_prometheus.wire.varint import decode_varint


class Snappy(NamedTuple):
    """
    The functions of one library. Both may be called on any thread.

    :param library: its name, as it is imported.
    :param compress: from a message to Snappy's block format, which the specifications demand, never the framed one.
    :param uncompress: the inverse; raises whatever the library raises if the bytes are not in that format.
    """

    library: str
    compress: Callable[[bytes], bytes]
    uncompress: Callable[[bytes], bytes]


def installed_snappy() -> Snappy:
    """
    Return the functions of the first library that is installed.

    :raises ImportError: if none is installed, naming what to install.
    """
    try:
        snappy: Any = import_module("snappy")
    except ImportError:
        return _snappy_of_pyarrow()
    return Snappy("snappy", snappy.compress, snappy.uncompress)


def _snappy_of_pyarrow() -> Snappy:
    try:
        pyarrow: Any = import_module("pyarrow")
    except ImportError as error:
        problem = str(error)
    else:
        if pyarrow.Codec.is_available("snappy"):
            return Snappy(
                "pyarrow",
                partial(pyarrow.compress, codec="snappy", asbytes=True),
                partial(_uncompress_by_pyarrow, pyarrow),
            )
        problem = "pyarrow was built without Snappy"
    raise ImportError(
        "install python-snappy (or PyFlink's pyarrow) for the workers' Python: requests cannot be compressed without "
        f"one of them, and {problem}"
    )


def _uncompress_by_pyarrow(pyarrow: Any, body: bytes) -> bytes:
    # pyarrow needs the size, which is at the beginning of the block format.
    size, _ = decode_varint(body, 0)
    found: bytes = pyarrow.decompress(body, decompressed_size=size, codec="snappy", asbytes=True)
    return found


# Chosen when the module is imported, so that a worker with neither library fails at its start.
compress, uncompress = installed_snappy()[1:]
