"""Limits hold for the sink as a whole, however records reach its subtasks."""

from __future__ import annotations

import pytest
from local_job import run_job_file

from pyflink_prometheus.testing import Receiver


@pytest.mark.once
@pytest.mark.parametrize("transport", ["arrow", "records"])
def test_subtasks_share_a_limit_on_new_series(transport):
    with Receiver() as receiver:
        job = run_job_file("limited.py", receiver.url, transport)
        assert job.status == 0, job.stderr
        series = {key for request in receiver.requests for key, _, _ in request.samples}
    assert len(series) == 4
