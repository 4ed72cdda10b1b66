"""What a subtask says at its end of the samples that it has not written."""

from __future__ import annotations

import logging

import pytest

from pyflink_prometheus.flink.summary import THIS_PROCESS, rejected_summary, tell_of_rejected
from pyflink_prometheus.writer.ledger import Ledger, Reason


def ledger(samples_in, accepted, **rejected):
    made = Ledger()
    made.samples_in = samples_in
    made.accept(accepted, 0)
    for reason, count in rejected.items():
        made.reject(Reason[reason.upper()], count)
    return made


def test_nothing_is_said_where_all_was_written():
    assert rejected_summary(ledger(10, 10)) is None
    assert rejected_summary(ledger(0, 0)) is None
    assert rejected_summary(ledger(10, 4)) is None


def test_reasons_are_counted():
    summary = rejected_summary(ledger(100, 95, refused=2, retries_exhausted=3))
    assert summary == "Prometheus writer: 5 of 100 samples were not written (refused 2, retries exhausted 3)"


def test_no_total_is_claimed_where_samples_are_on_their_way():
    summary = rejected_summary(ledger(100, 90, refused=2))
    assert summary == "Prometheus writer: 2 samples were not written (refused 2)"


@pytest.mark.parametrize("has_handler", [False, True])
@pytest.mark.parametrize("built_in", [THIS_PROCESS, "another process"])
def test_it_is_logged_and_printed_where_the_console_is_the_users(built_in, has_handler, caplog, capsys):
    tell_of_rejected(ledger(3, 2, invalid=1), has_handler=has_handler, built_in=built_in, log_file="/a.log")
    [record] = caplog.records
    printed = capsys.readouterr().err.splitlines()
    assert record.levelno == logging.WARNING
    assert len(printed) == (built_in == THIS_PROCESS)
    for line in [record.getMessage(), *printed]:
        assert line.startswith("Prometheus writer: 1 of 3 samples were not written (invalid 1); ")
        assert ("set_rejected_samples_handler" in line) is not has_handler
    assert all("; /a.log says why" in line for line in printed)
