"""
All code that imports PyFlink: the sink and its builder, the function that runs the writer, keys and counters.

PyFlink is not among this package's requirements, because it has several sources: apache-flink, or a vendor's package of
another name. Whether it is there, and is not too old, is checked when the first name is used that needs it.
"""

import logging
import re
import sys
from importlib import import_module

_OLDEST, _UNTESTED = (1, 20), (3, 0)


def _check_pyflink() -> None:
    advice = (
        f"install PyFlink 1.20 or 2.x for {sys.executable or 'this Python'}, your cluster's, or with "
        "pip install 'pyflink-prometheus[flink]'"
    )
    try:
        import_module("pyflink")
    except ModuleNotFoundError as error:
        if error.name != "pyflink":
            raise
        raise ModuleNotFoundError(f"{advice}: there is no module pyflink", name="pyflink") from None
    try:
        version = str(import_module("pyflink.version").__version__)
    except (ModuleNotFoundError, AttributeError):
        return  # a vendor's own way
    numbers = re.match(r"(\d+)\.(\d+)", version)
    number = (int(numbers[1]), int(numbers[2])) if numbers else _OLDEST
    if number < _OLDEST:
        raise ImportError(f"{advice}: this is PyFlink {version}", name="pyflink")
    if number >= _UNTESTED:
        logging.getLogger(__name__).warning(
            "test your job's recovery from failures with PyFlink %s: this sink is tested with 1.20 and 2.x", version
        )


_check_pyflink()
