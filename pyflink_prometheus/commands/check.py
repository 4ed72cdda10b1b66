"""``check``: what works against an endpoint, before a job is started."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from pyflink_prometheus.commands.target import add_target_arguments, target
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.preflight.endpoints import check

if TYPE_CHECKING:
    from pyflink_prometheus.preflight.finding import CheckReport

_SUMMARY = "check an endpoint from this machine; write nothing"


# argparse's type of what it gives is private.
def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    parser = subparsers.add_parser("check", help=_SUMMARY, description=f"{_SUMMARY.capitalize()}.")
    add_target_arguments(parser)
    parser.add_argument(
        "--write-test-series",
        metavar="NAME",
        help="write series of this metric name, to learn whether histograms, exemplars and late samples are accepted",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the endpoint and print the findings; return 0 unless there is a problem."""
    try:
        report = check(target(args), write_test_series=args.write_test_series)
    except InvalidTimeSeriesError as error:
        print(f"error: --write-test-series: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report.as_json(), indent=2) if args.json else _text(report))
    return 0 if report.is_ok else 1


def _text(report: CheckReport) -> str:
    count = len(report.problems)
    result = f"{count} problem{'' if count == 1 else 's'}" if count else "no problem"
    return f"{report}\n\n{result}"
