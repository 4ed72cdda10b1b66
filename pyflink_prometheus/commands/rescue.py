"""
Rescue samples that a receiver has rejected, from the files in which JsonLinesRejectedSamples keeps them.

Only samples that were sent, or were to be sent, are rescued, not those rejected as invalid or by limits that you set.
See docs/late-data.md.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyflink_prometheus.commands.target import add_target_arguments, target
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.rescue.late_samples import LateSamples
from pyflink_prometheus.rescue.openmetrics_files import SUFFIX, WrittenFiles, write_files
from pyflink_prometheus.rescue.refused_files import DAMAGED_LINES, RESCUED_REASONS, find_files, read_files
from pyflink_prometheus.rescue.resend_progress import ResendProgress
from pyflink_prometheus.rescue.resending import Resend, progress_line
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.rejected_files import JsonLinesRejectedSamples
from pyflink_prometheus.writer.writer import RemoteWriter

_HOUR_MS = 3_600_000
_PROGRESS_EVERY_S = 5.0


def add_parser(subparsers: Any) -> None:
    """Add the command ``rescue`` with its two subcommands."""
    parser = subparsers.add_parser(
        "rescue", help="rescue samples that a receiver has rejected", description=(__doc__ or "").strip()
    )
    ways = parser.add_subparsers(required=True, metavar="METHOD")

    openmetrics = ways.add_parser("openmetrics", help="write OpenMetrics text, which promtool turns into blocks")
    _add_input(openmetrics)
    openmetrics.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="new or empty")
    openmetrics.add_argument(
        "--hours-per-file", type=_hours, default=2, metavar="N", help="default: 2, the length of a block"
    )
    openmetrics.set_defaults(run=run_openmetrics)

    resend = ways.add_parser("resend", help="resend them to an endpoint, such as one with an out-of-order window")
    _add_input(resend)
    resend.add_argument("--samples-per-second", type=_positive, default=10_000, metavar="N", help="default: 10000")
    resend.add_argument("--progress", type=Path, metavar="FILE", help="default: resend-progress.json next to the files")
    resend.add_argument(
        "--left", type=Path, metavar="FOLDER", help="for the samples still refused; default: left next to the files"
    )
    add_target_arguments(resend)
    resend.set_defaults(run=run_resend)


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a directory of rejected-*.jsonl files, or one such file"
    )
    parser.add_argument(
        "--reason",
        dest="reasons",
        action="append",
        choices=sorted(each.value for each in RejectionReason),
        help="why they were rejected; repeat for several; default: "
        + ", ".join(each.value for each in RESCUED_REASONS),
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run_openmetrics(args: argparse.Namespace) -> int:
    """Write files; return 0 if they hold all samples, 1 if some cannot be written."""
    try:
        if args.output.exists() and (not args.output.is_dir() or any(args.output.iterdir())):
            raise ValueError(
                f"name a folder that is new or empty: {args.output} is neither, and promtool would also read old files"
            )
        spans = find_files(args.paths)
        with LateSamples() as samples:
            left_out = read_files(spans, samples, _reasons(args)).left_out
            written = write_files(samples, args.output, args.hours_per_file * _HOUR_MS)
            series = samples.count_series()
            left_out += _duplicates(samples)
    except (OSError, ValueError, sqlite3.Error) as error:
        return _wrong(_advice(error))
    left_out += written.left_out
    if args.json:
        result = {"samples": written.samples, "series": series, "files": list(map(str, written.files))}
        print(json.dumps({**result, "left_out": dict(left_out)}))
    else:
        print(
            f"{written.samples} samples of {series} series were written to {len(written.files)} files in {args.output}"
        )
        _print_counts("left out", left_out)
        _print_next_steps(written, args.output)
    return 1 if written.missing or left_out[DAMAGED_LINES] else 0


def run_resend(args: argparse.Namespace, new_writer: Callable[[SinkConfig], RemoteWriter] = RemoteWriter) -> int:
    """
    Resend samples.

    :param new_writer: starts a writer.
    :return: 0 if all samples are accepted, 1 if some are refused or damaged or the endpoint cannot be reached, 2 if the
        options or the files cannot be used.
    """
    config = target(args)
    folder = args.paths[0] if args.paths[0].is_dir() else args.paths[0].parent
    progress_file, left = args.progress or folder / "resend-progress.json", args.left or folder / "left"
    try:
        if left.exists() and not left.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(left))
        with LateSamples() as samples:
            progress, left_out = _begun(args, config, samples, progress_file)
            resend = Resend(
                config,
                samples,
                progress,
                progress_file=progress_file,
                left=JsonLinesRejectedSamples(str(left)),
                samples_per_second=args.samples_per_second,
                report=_progress_report(progress),
                new_writer=new_writer,
            )
            problem = _problem_of(resend)
            if not problem:
                left_out += _duplicates(samples)
                progress.finish()
                progress.save(progress_file)
    except (OSError, ValueError, sqlite3.Error) as error:
        return _wrong(_advice(error))
    _report_resend(args, progress, left_out, left, problem)
    return 1 if problem or progress.refused or left_out[DAMAGED_LINES] else 0


def _begun(
    args: argparse.Namespace, config: SinkConfig, samples: LateSamples, progress_file: Path
) -> tuple[ResendProgress, Counter[str]]:
    """
    Read the samples; return the progress of sending them, and counts of what is left out.

    :raises ValueError: if the progress belongs to another endpoint or to other samples.
    :raises OSError: if files cannot be read or written.
    """
    progress = ResendProgress.load(progress_file) or ResendProgress(config.url_without_credentials)
    if progress.endpoint != config.url_without_credentials:
        raise ValueError(f"name another file with --progress: {progress_file} is for {progress.endpoint}")
    restore = f"restore the files and options of the first run, or delete {progress_file} to start over"
    is_resumed = bool(progress.spans)
    try:
        spans = progress.spans or find_files(args.paths, progress.taken)
        reading = read_files(spans, samples, _reasons(args))
    except OSError as error:
        if not is_resumed:
            raise
        raise ValueError(f"{restore}: {error}") from None
    if not is_resumed:
        progress.begin(spans, samples.count(), reading.digest)
        progress.save(progress_file)
    elif progress.content != reading.digest:
        raise ValueError(f"{restore}: they have changed")
    return progress, reading.left_out


def _progress_report(progress: ResendProgress) -> Callable[[ResendProgress], None]:
    """Return a function that prints the progress every few seconds."""
    began, done_before, next_at = time.monotonic(), progress.done, time.monotonic()

    def report(now: ResendProgress) -> None:
        nonlocal next_at
        moment = time.monotonic()
        if moment >= next_at or now.done == now.samples:
            next_at = moment + _PROGRESS_EVERY_S
            print(progress_line(now, done_before, moment - began), file=sys.stderr, flush=True)

    return report


def _problem_of(resend: Resend) -> str:
    """Send samples, and return why sending stopped before the end; "" if it did not."""
    try:
        resend.run()
    except KeyboardInterrupt:
        return "run the same command again to continue: it was interrupted"
    except (PrometheusSinkError, OSError, sqlite3.Error) as error:
        return f"run the same command again to continue once the cause is fixed: {error}"
    return ""


def _duplicates(samples: LateSamples) -> Counter[str]:
    """Return counts of the samples left out of a collection that has been read to the end."""
    return Counter({"duplicate": samples.duplicates, "conflicting": samples.conflicts})


def _report_resend(
    args: argparse.Namespace, progress: ResendProgress, left_out: Mapping[str, int], left: Path, problem: str
) -> None:
    if args.json:
        counts = {"samples": progress.samples, "done": progress.done, "accepted": progress.accepted}
        kept = {"left": str(left)} if progress.refused else {}
        found = {**counts, "refused": dict(progress.refused), **kept, "left_out": dict(left_out), "problem": problem}
        print(json.dumps(found))
        return
    print(f"{progress.accepted} of {progress.samples} samples were accepted")
    _print_counts("still refused", progress.refused)
    if progress.refused:
        print(f"these samples are in {left}; with Remote-Write 2.0, so is everything that was sent with them")
    _print_counts("left out", left_out)
    if problem:
        print(f"error: {problem}", file=sys.stderr)


def _print_next_steps(written: WrittenFiles, folder: Path) -> None:
    if written.missing:
        print(f"send {written.missing} of these with `rescue resend`: OpenMetrics text cannot express them")
    if written.files:
        files = f'$(find "{folder}" -name "*{SUFFIX}" | sort)'
        print("next: create blocks and move them into Prometheus's data directory, or create them there:")
        print(f"  for file in {files}; do promtool tsdb create-blocks-from openmetrics $file DATA; done")


def _print_counts(what: str, counts: Mapping[str, int]) -> None:
    for why, count in sorted(counts.items(), key=lambda each: -each[1]):
        if count:
            print(f"{what}: {count} ({why})")


def _reasons(args: argparse.Namespace) -> list[RejectionReason]:
    return list(RESCUED_REASONS) if args.reasons is None else [RejectionReason(each) for each in args.reasons]


def _advice(error: OSError | ValueError | sqlite3.Error) -> str:
    """Return what to do about an error that is not a network error."""
    if isinstance(error, sqlite3.Error):
        return f"make room for temporary files, or set TMPDIR to a folder with free space: {error}"
    if isinstance(error, OSError):
        return f"check {error.filename or 'the disk'}: {error.strerror or error}"
    return str(error)


def _wrong(problem: str) -> int:
    print(f"error: {problem}", file=sys.stderr)
    return 2


def _positive(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return found


def _hours(text: str) -> int:
    if not text.isdecimal() or len(text) > 6 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 999999, got {text!r}")
    return int(text)
