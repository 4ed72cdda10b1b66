"""Limits hold for the sink as a whole, however records reach its subtasks."""

from __future__ import annotations

from collections import Counter

import pytest
from local_job import run_job_file

from pyflink_prometheus.testing import Receiver


@pytest.mark.once
def test_subtasks_share_a_limit_on_new_series():
    with Receiver() as receiver:
        run_job_file("limited.py", receiver.url)
        series = {key for request in receiver.requests for key, _, _ in request.samples}
    assert Counter(key.partition("{")[0] for key in series) == {"arrow": 4, "records": 4}
