"""
All code that imports PyFlink: the sink and its builder, the function that runs the writer, keys and counters.

This package does not require PyFlink, because PyFlink has several sources: apache-flink, or a vendor's package with
another name. Its presence and version are checked when a name that needs it is first used.
"""

import logging
import re
import sys
from importlib import import_module

_OLDEST, _UNTESTED = (1, 20), (3, 0)


def _check_pyflink() -> None:
    advice = (
        f"install PyFlink 1.20 or 2.x for {sys.executable or 'this Python'}, in your cluster's version or with "
        "pip install 'pyflink-prometheus[flink]'"
    )
    try:
        import_module("pyflink")
    except ModuleNotFoundError as error:
        if error.name != "pyflink":
            raise
        raise ModuleNotFoundError(f"{advice}: the module pyflink was not found", name="pyflink") from None
    try:
        version = str(import_module("pyflink.version").__version__)
    except (ModuleNotFoundError, AttributeError):
        return  # a vendor's package may state its version in another way
    numbers = re.match(r"(\d+)\.(\d+)", version)
    number = (int(numbers[1]), int(numbers[2])) if numbers else _OLDEST
    if number < _OLDEST:
        raise ImportError(f"{advice}: found PyFlink {version}", name="pyflink")
    if number >= _UNTESTED:
        logging.getLogger(__name__).warning(
            "test your job's recovery from failures with PyFlink %s: this sink is tested with 1.20 and 2.x", version
        )


_check_pyflink()
