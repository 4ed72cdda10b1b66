"""Flink's REST API shows the fates of samples while a job runs."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from flink_cluster import free_ports
from local_job import FinishedJob, run_job_file

from pyflink_prometheus.testing import ReceivedRequest, Receiver

FATES = ["good"] * 5 + ["late", "refused", "unavailable", "invalid"]


class Fates:
    """Respond to each request, which has one sample, as its metric's name says."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, request: ReceivedRequest) -> int:
        name = request.series[0].metric_name
        self._seen[name] += 1
        if name == "unavailable" or (name == "late" and self._seen[name] == 1):
            return 503
        return 400 if name == "refused" else 204


def run_counted(*arguments: str) -> FinishedJob:
    return run_job_file("counted.py", *map(str, free_ports(1)), *arguments)


@pytest.mark.parametrize(
    "has_backup", [False, pytest.param(True, marks=pytest.mark.once)], ids=["alone", "with a backup"]
)
def test_counters_have_the_names_of_the_java_connector_and_say_what_happened(tmp_path, has_backup):
    (tmp_path / "lines").write_text("\n".join(FATES))
    java_connectors = {
        "numSamplesOut": 6,
        "numWriteRequestsOut": 6,
        "numWriteRequestsRetries": 3,
        "numSamplesDropped": 3,
        "numSamplesNonRetryableDropped": 1,
        "numSamplesRetryLimitDropped": 1,
        "numWriteRequestsPermanentlyFailed": 2,
    }
    ours = {
        "numSamplesIn": 9,
        "numSamplesInvalidDropped": 1,
        "numSamplesDuplicateDropped": 0,
        "samplesPending": 0,
        "lastBatchSizeInSamples": 1,
        "maxBatchSizeInSamples": 1,
        "newestSampleTimestampMs": 1_700_000_000_000,
    }
    flinks = {"numRecordsSend": 9, "numRecordsSendErrors": 3}
    buckets = {"le.Inf.timeInFlightMs_bucket": 11, "le.30000.timeInFlightMs_bucket": 11}  # 5 + 2 + 1 + 3 attempts
    # The backup gets all samples except the invalid one, and accepts them.
    backup = {
        "endpoint.backup.numSamplesIn": 8,
        "endpoint.backup.numSamplesOut": 8,
        "endpoint.backup.samplesPending": 0,
        "endpoint.backup.le.Inf.timeInFlightMs_bucket": 8,
    }
    expected = {**java_connectors, **ours, **flinks, **buckets, **(backup if has_backup else {})}
    of_any_value = dict.fromkeys(
        ("maxInFlightRequests", "numBytesOut", "lastFlushDurationMs", "timeWaitedMs", "numBytesSend", "currentSendTime")
    )
    with Receiver(Fates()) as receiver, Receiver() as other:
        arguments = receiver.url, str(tmp_path), json.dumps({**expected, **of_any_value})
        job = run_counted(*arguments, *([other.url] if has_backup else []))
    metrics = json.loads(job.stdout.splitlines()[-1])
    assert {name: metrics.get(name) for name in expected} == expected
    assert metrics["maxInFlightRequests"] >= 1
    assert metrics["numBytesSend"] == metrics["numBytesOut"] > 0
    assert metrics["lastFlushDurationMs"] >= 0


@pytest.mark.once
def test_tenants_have_counters_of_their_own(tmp_path):
    (tmp_path / "lines").write_text("\n".join(FATES))
    expected = {
        "numSamplesOut": 6,
        "tenant.good.numSamplesOut": 5,
        "tenant.late.numSamplesOut": 1,
        "tenant.late.numWriteRequestsRetries": 1,
        "tenant.refused.numSamplesDropped": 1,
        "tenant.unavailable.numSamplesDropped": 1,
        "tenant.unavailable.numWriteRequestsRetries": 2,
    }
    with Receiver(Fates()) as receiver:
        job = run_counted(receiver.url, str(tmp_path), json.dumps(expected))
    metrics = json.loads(job.stdout.splitlines()[-1])
    assert {name: metrics.get(name) for name in expected} == expected
