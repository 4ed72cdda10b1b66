"""``verify``: whether a receiver holds what a job has written."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any

from pyflink_prometheus.commands.target import add_target_arguments, target
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.model.labels import series_key
from pyflink_prometheus.verification.comparison import Compared, Verdict, compare
from pyflink_prometheus.verification.expectation import read_expectation
from pyflink_prometheus.verification.stored_samples import StoredSamples
from pyflink_prometheus.writer.digest_files import HOUR_MS, last_written

_SUMMARY = "compare what a job has written with what the receiver holds"
_MOST_LINES = 100
_MAY_BE_INVISIBLE_S = 30


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    parser = subparsers.add_parser("verify", help=_SUMMARY, description=f"{_SUMMARY.capitalize()}.")
    parser.add_argument("--digests", metavar="DIR", required=True, help="the directory passed to set_digest_directory")
    add_target_arguments(parser, "--query-url")
    parser.add_argument(
        "--ignore-label",
        dest="ignored_labels",
        action="append",
        default=[],
        metavar="NAME",
        help="a label that the receiver adds or removes; repeat for several",
    )
    parser.add_argument(
        "--count-only",
        action="store_true",
        help="compare only numbers of samples, not values, which VictoriaMetrics rounds to about 15 digits",
    )
    parser.add_argument("--complete-hours", action="store_true", help="leave out the hour that has not ended yet")
    parser.add_argument("--strict", action="store_true", help="count unclear results as missing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is missing; return 0 if nothing is missing, 1 if something is, 2 if that cannot be determined."""
    config = target(args)
    headers = {name: value for name, value in config.http_headers.items() if isinstance(value, str)}
    until_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS if args.complete_hours else None
    try:
        expectation = read_expectation(args.digests, headers, until_ms=until_ms, ignore=args.ignored_labels)
        if not expectation.series:
            raise FileNotFoundError(2, "it contains no digests")
        with contextlib.closing(StoredSamples(config, tuple(args.ignored_labels))) as stored:
            compared = list(compare(expectation, stored, count_only=args.count_only))
    except OSError as error:
        print(f"error: check --digests {args.digests}: {error.strerror or error}", file=sys.stderr)
        return 2
    except PrometheusSinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bad = {Verdict.MISSING, Verdict.DIFFERENT} | ({Verdict.UNCLEAR} if args.strict else set())
    if args.json:
        print(json.dumps(_as_json(compared, expectation.of_other_tenants), indent=2))
    else:
        _print(compared, expectation.of_other_tenants, time.time() - last_written(args.digests))
    return 1 if any(each.verdict in bad for each in compared) else 0


def _print(compared: list[Compared], of_other_tenants: int, age_s: float) -> None:
    listed = [each for each in compared if each.verdict is not Verdict.STORED]
    for each in listed[:_MOST_LINES]:
        print(
            f"{each.verdict.value:<9}  {_hour(each)}  sent {each.sent:>8,}  stored {each.stored:>8,}  "
            f"{series_key(each.labels)}"
        )
    if len(listed) > _MOST_LINES:
        print(f"and {len(listed) - _MOST_LINES} more")
    if of_other_tenants:
        print(f"left out: {of_other_tenants} series of other tenants; name a tenant with --header")
    if age_s < _MAY_BE_INVISIBLE_S and any(each.verdict is Verdict.MISSING for each in compared):
        print(
            f"run this again in {_MAY_BE_INVISIBLE_S} s: the last samples were written {max(age_s, 0):.0f} s ago, and "
            "some receivers return new series only after a while (VictoriaMetrics: about 10 s)"
        )
    print(_summary(compared))


def _summary(compared: list[Compared]) -> str:
    series = len({each.labels for each in compared})
    hours = len({each.hour for each in compared})
    counts = Counter(each.verdict for each in compared)
    samples = sum(each.sent for each in compared)
    result = f"{samples:,} samples of {series:,} series in {hours:,} hour{'' if hours == 1 else 's'}: "
    if counts[Verdict.STORED] == len(compared):
        more = _more(compared)
        return f"{result}all are stored" + (f", and {more:,} more that were not acknowledged" if more else "")
    missing = sum(each.sent - each.stored for each in compared if each.verdict is Verdict.MISSING)
    parts = [f"{counts[Verdict.STORED]:,} of {len(compared):,} series and hours are stored"]
    if counts[Verdict.MISSING]:
        parts.append(f"missing: {counts[Verdict.MISSING]:,} (at least {missing:,} sample{'' if missing == 1 else 's'})")
    for verdict in (Verdict.DIFFERENT, Verdict.UNCLEAR):
        if counts[verdict]:
            parts.append(f"{verdict.value}: {counts[verdict]:,}")
    return result + "; ".join(parts)


def _more(compared: list[Compared]) -> int:
    return sum(each.stored - each.sent for each in compared if each.verdict is Verdict.STORED)


def _as_json(compared: list[Compared], of_other_tenants: int) -> dict[str, Any]:
    counts = Counter(each.verdict.value for each in compared)
    return {
        "samples": sum(each.sent for each in compared),
        "more": _more(compared),
        "series_of_other_tenants": of_other_tenants,
        **{verdict.value: counts[verdict.value] for verdict in Verdict},
        "not_stored": [
            {
                "verdict": each.verdict.value,
                "labels": dict(each.labels),
                "hour": _hour(each),
                "sent": each.sent,
                "stored": each.stored,
            }
            for each in compared
            if each.verdict is not Verdict.STORED
        ],
    }


def _hour(compared: Compared) -> str:
    return datetime.fromtimestamp(compared.hour * HOUR_MS / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
