"""A secret that fails a job is in no log and no response of a cluster, and the client's error names its source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flink_cluster import FlinkCluster
from local_job import JOBS

from pyflink_prometheus.testing import Receiver

CANARY = "c4nary-of-mine"
FATAL = "RemoteWriteFatalError: "


@pytest.mark.once
def test_a_secret_that_fails_a_job_is_shown_nowhere(flink_cluster: FlinkCluster, tmp_path: Path) -> None:
    broken = f"{CANARY}\n{CANARY}"
    secrets = {"bearer": broken, "signer": CANARY, "sigv4": broken, "jwt": CANARY, "entra": CANARY}
    advice = {
        "bearer": f"check the secret in file '{tmp_path}/bearer': it contains a line break",
        "signer": "call the request signer sign on its own to see the error: it raised ValueError in leaking.py, ",
        "sigv4": "check the value that the request signer SigV4Auth gives the header Authorization: it contains a line",
        "jwt": f"check the secret in file '{tmp_path}/jwt': it cannot sign with RS256",
        "entra": f"check the certificate '{tmp_path}/entra': expected a certificate with its RSA key",
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret)
    with Receiver() as receiver:
        run = flink_cluster.run_job(JOBS / "leaking.py", receiver.url, str(tmp_path))
        assert receiver.requests == []
    errors = json.loads(next(line for line in run.stdout.splitlines() if line.startswith('{"bearer"')))
    jobs = {job["name"]: job["jid"] for job in flink_cluster.rest("/jobs/overview")["jobs"]}
    shown = [run.output, flink_cluster.logs()]
    for name, error in errors.items():
        assert advice[name] in next((line for line in error.splitlines() if FATAL in line), error)
        assert FATAL in flink_cluster.root_exception(jobs[name])
        shown.append(json.dumps(flink_cluster.rest(f"/jobs/{jobs[name]}/exceptions")))
    assert shown[1].count(FATAL) >= len(errors)
    for text in shown:
        assert CANARY not in text
