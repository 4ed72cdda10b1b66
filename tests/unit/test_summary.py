"""Subtasks' summaries of the samples that were written, and of those that were not."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from pyflink_prometheus.flink.summary import ConsoleSummary, RejectedSummary, console_summary
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason

URL = "http://receiver.example/api/v1/write"
WRITTEN = f"Prometheus writer: 95 samples were written to {URL} (requests: 3, retries: 1, waited for responses: 1.2 s)"


def ledger(samples_in, accepted, **rejected):
    made = Ledger()
    made.samples_in = samples_in
    made.accept(accepted, 0)
    for reason, count in rejected.items():
        made.reject(RejectionReason[reason.upper()], count)
    for retry in (False, True, False):
        made.attempt(100, 0.5, retry=retry)
    made.time_waited_s = 1.25
    return made


def printed(capsys, *ledgers, has_handler=False, endpoint=""):
    """Return the output at the end of parallel subtasks with these ledgers."""
    summary = ConsoleSummary(URL, endpoint=endpoint, has_handler=has_handler, log_file="/a.log")
    for each in ledgers:
        summary.opened(each)
    for each in ledgers:
        assert capsys.readouterr().err == ""
        summary.closed(each)
    return capsys.readouterr().err


def test_a_local_job_prints_at_its_end_what_was_written(capsys):
    assert printed(capsys, ledger(95, 95)) == f"{WRITTEN}\n"


def test_a_subtask_without_samples_prints_nothing(capsys):
    assert printed(capsys, Ledger()) == ""


@pytest.mark.parametrize("has_handler", [False, True])
def test_it_prints_what_was_not_written_by_reason(has_handler, capsys):
    line = printed(capsys, ledger(100, 95, refused=2, retries_exhausted=3), has_handler=has_handler)
    advice = "" if has_handler else "; call set_rejected_samples_handler to keep the samples"
    assert line == (
        f"{WRITTEN}; 5 of 100 samples were not written (refused 2, retries exhausted "
        f"3); the reasons are in /a.log{advice}\n"
    )


def test_it_tells_of_what_rules_exclude_as_of_no_loss(capsys):
    assert printed(capsys, ledger(100, 95, excluded=5)).endswith("; 5 were excluded\n")


def test_subtasks_side_by_side_print_one_line_with_the_sums(capsys):
    line = printed(capsys, ledger(50, 45, refused=5), ledger(50, 50))
    assert "95 samples were written" in line
    assert "(requests: 6, retries: 2, waited for responses: 2.5 s)" in line
    assert "; 5 of 100 samples were not written (refused 5); " in line


def test_a_subtask_that_is_not_closed_when_the_process_ends_is_in_the_sums(capsys):
    summary = ConsoleSummary(URL, endpoint="", has_handler=False, log_file=None)
    first, second = ledger(50, 50), ledger(45, 45)
    summary.opened(first)
    summary.opened(second)
    summary.closed(first)
    assert capsys.readouterr().err == ""
    summary.finish()
    assert capsys.readouterr().err.startswith("Prometheus writer: 95 samples were written ")
    summary.closed(second)
    summary.finish()
    assert capsys.readouterr().err == ""


def test_the_end_of_the_process_prints_what_is_left():
    code = (
        "from pyflink_prometheus.flink.summary import console_summary\n"
        "from pyflink_prometheus.writer.ledger import Ledger\n"
        "ledger = Ledger(); ledger.samples_in = 7; ledger.accept(7, 0);"
        "console_summary('a', 'http://receiver.example', has_handler=False, log_file=None).opened(ledger)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.startswith("Prometheus writer: 7 samples were written to http://receiver.example ")


def test_no_total_is_claimed_where_samples_are_on_their_way(capsys):
    line = printed(capsys, ledger(100, 90, refused=2))
    assert "; 8 were pending when the job failed or was cancelled; 2 samples were not written (refused 2); " in line


def test_an_endpoint_is_named(capsys):
    line = printed(capsys, ledger(2, 1, refused=1), endpoint="backup")
    assert "1 of 2 samples were not written to endpoint backup (refused 1)" in line


def test_subtasks_of_a_sink_share_a_summary_for_each_endpoint():
    first, second, backup, other = (
        console_summary(sink, URL, endpoint=endpoint, has_handler=False, log_file=None)
        for sink, endpoint in (("a", ""), ("a", ""), ("a", "backup"), ("b", ""))
    )
    assert first is second
    assert len({id(each) for each in (first, backup, other)}) == 3


def test_the_log_has_the_sum_at_once_and_whenever_it_has_doubled(caplog):
    counts = Ledger()
    of = RejectedSummary(counts, has_handler=False)
    of.flushed()
    for _ in range(10):
        counts.samples_in += 2
        counts.accept(1, 0)
        counts.reject(RejectionReason.INVALID, 1)
        of.flushed()
        of.flushed()
    assert [message.partition(" samples")[0] for message in caplog.messages] == [
        "Prometheus writer: 1 of 2",
        "Prometheus writer: 2 of 4",
        "Prometheus writer: 4 of 8",
        "Prometheus writer: 8 of 16",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
