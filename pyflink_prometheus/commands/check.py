"""``check``: what works with an endpoint, before a job is started."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace

from pyflink_prometheus.commands.target import Target, add_target_arguments, targets
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.preflight.endpoints import check
from pyflink_prometheus.preflight.finding import CheckReport, EndpointReport, Finding, Severity

#: The setters that findings name, and the corresponding fields of an entry of remote_write.
FIELDS = {
    "set_request_signer": "basic_auth, authorization, oauth2, sigv4 or azuread",
    "set_http_headers": "headers",
    "set_tls_configuration": "tls_config",
    "set_max_batch_size_in_samples to": "set queue_config.max_samples_per_send to",
    "set_max_batch_size_in_samples": "queue_config.max_samples_per_send",
    "set_max_in_flight_requests": "queue_config.max_shards",
    "set_send_exemplars(False)": "set send_exemplars to false",
    "set_send_native_histograms(False)": "set send_native_histograms to false",
}

_SUMMARY = "check endpoints from this machine; writes nothing unless you ask for test series"


# argparse's type of subparsers is private.
def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    parser = subparsers.add_parser("check", help=_SUMMARY, description=f"{_SUMMARY.capitalize()}.")
    add_target_arguments(parser, without_name="; default: all of them")
    parser.add_argument(
        "--write-test-series",
        metavar="NAME",
        help="write series with this metric name, to see whether histograms, exemplars and late samples are accepted",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check each endpoint and print the findings; return 0 unless there is a problem."""
    try:
        reports = [_report(each, args) for target in targets(args) for each in _checked(target, args)]
    except InvalidTimeSeriesError as error:
        print(f"error: --write-test-series: {error}", file=sys.stderr)
        return 2
    report = CheckReport(tuple(reports))
    print(json.dumps(report.as_json(), indent=2) if args.json else _text(report))
    return 0 if report.is_ok else 1


def _checked(target: Target, args: argparse.Namespace) -> Iterator[EndpointReport]:
    if isinstance(target.config, str):
        finding = Finding("settings", Severity.PROBLEM, "The sink cannot do what this entry asks for.", target.problem)
        yield EndpointReport(target.config, (finding,), target.name)
    else:
        for each in check(target.config, write_test_series=args.write_test_series).endpoints:
            yield replace(each, name=target.name)


def _report(report: EndpointReport, args: argparse.Namespace) -> EndpointReport:
    """Return a report whose remedies name the fields of the file, if the endpoint is an entry of a file."""
    if args.config is None:
        return report
    return replace(report, findings=tuple(replace(each, remedy=_of_the_file(each.remedy)) for each in report.findings))


def _of_the_file(remedy: str) -> str:
    for setter, field in FIELDS.items():
        remedy = remedy.replace(setter, field)
    return remedy


def _text(report: CheckReport) -> str:
    count = len(report.problems)
    result = f"{count} problem{'' if count == 1 else 's'}" if count else "no problems"
    if len(report.endpoints) > 1:
        broken = sum(each.severity is Severity.PROBLEM for each in report.endpoints)
        result += (
            f" at {broken} of {len(report.endpoints)} endpoints" if count else f" at {len(report.endpoints)} endpoints"
        )
    return f"{report}\n\n{result}"
