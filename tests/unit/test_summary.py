"""What a subtask says at its end of the samples that it has not written."""

from __future__ import annotations

import logging

import pytest

from pyflink_prometheus.flink.summary import THIS_PROCESS, RejectedSummary
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason


def ledger(samples_in, accepted, **rejected):
    made = Ledger()
    made.samples_in = samples_in
    made.accept(accepted, 0)
    for reason, count in rejected.items():
        made.reject(RejectionReason[reason.upper()], count)
    return made


def summary(of, has_handler=False, built_in=THIS_PROCESS):
    return RejectedSummary(of, has_handler=has_handler, built_in=built_in, log_file="/a.log")


@pytest.mark.parametrize("accepted", [10, 4])
def test_nothing_is_said_where_nothing_was_rejected(accepted, caplog, capsys):
    of = summary(ledger(10, accepted))
    of.flushed()
    of.closed()
    assert caplog.messages == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("has_handler", [False, True])
def test_a_local_job_prints_the_sum_at_its_end(has_handler, capsys):
    summary(ledger(100, 95, refused=2, retries_exhausted=3), has_handler).closed()
    advice = "" if has_handler else "; call set_rejected_samples_handler to keep the samples"
    assert capsys.readouterr().err == (
        "Prometheus writer: 5 of 100 samples were not written (refused 2, retries exhausted 3); the reasons are in "
        f"/a.log{advice}\n"
    )


def test_no_total_is_claimed_where_samples_are_on_their_way(capsys):
    summary(ledger(100, 90, refused=2)).closed()
    assert capsys.readouterr().err.startswith("Prometheus writer: 2 samples were not written (refused 2); ")


def test_a_worker_of_its_own_prints_nothing(capsys):
    summary(ledger(3, 2, invalid=1), built_in="another process").closed()
    assert capsys.readouterr().err == ""


def test_the_log_has_the_sum_at_once_and_whenever_it_has_doubled(caplog):
    counts = Ledger()
    of = summary(counts)
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
