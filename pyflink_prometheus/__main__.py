"""Commands for operators: ``python -m pyflink_prometheus COMMAND --help``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Each is a module of :mod:`pyflink_prometheus.commands` with ``add_parser(subparsers)``, whose parser has ``run`` as a
#: default: a function from the parsed arguments to the exit status.
COMMANDS = ("check", "rescue", "verify")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status: 0 all is well, 1 it is not, 2 wrong usage (as argparse has it)."""
    parser = argparse.ArgumentParser(prog="python -m pyflink_prometheus", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"pyflink_prometheus.commands.{name}").add_parser(subparsers)
    parsed = parser.parse_args(arguments)
    status: int = parsed.run(parsed)
    return status


if __name__ == "__main__":
    sys.exit(main())
