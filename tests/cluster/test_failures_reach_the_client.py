"""Configurations that cannot work fail the job, and the first line of the client's exception says what to change."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from local_job import run_job_file

from pyflink_prometheus.testing import ReceivedRequest, Receiver

pytestmark = pytest.mark.once


class Failures(NamedTuple):
    """The client's exception of each job, the URLs, and the number of requests for each metric name."""

    errors: dict[str, str]
    url: str
    nowhere: str
    requests: Counter[str]

    def line(self, job: str, beginning: str) -> str:
        """Return the first line of a job's error with this prefix; Python's class is qualified with its module."""
        lines = [line.strip() for line in self.errors[job].splitlines()]
        return next((line for line in lines if line.startswith(beginning)), self.errors[job])


def respond(request: ReceivedRequest) -> int:
    return int(request.series[0].metric_name.removeprefix("status_"))


@pytest.fixture(scope="module")
def failures() -> Iterator[Failures]:
    with Receiver(respond) as receiver, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused, and nothing else gets the port
        nowhere = f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v1/write"
        job = run_job_file("doomed.py", receiver.url, nowhere)
        requests = Counter(request.series[0].metric_name for request in receiver.requests)
        yield Failures(json.loads(job.stdout.splitlines()[-1]), receiver.url, nowhere, requests)


def test_401_fails_the_job_at_once_and_names_the_setter(failures):
    line = failures.line("401", "pyflink_prometheus.errors.RemoteWriteFatalError: ")
    assert failures.url in line
    assert "HTTP 401" in line
    assert "set_request_signer" in line
    assert failures.requests["status_401"] == 1


def test_404_fails_the_job_at_once_and_names_the_flag(failures):
    line = failures.line("404", "pyflink_prometheus.errors.RemoteWriteFatalError: ")
    assert failures.url in line
    assert "HTTP 404" in line
    assert "--web.enable-remote-write-receiver" in line
    assert failures.requests["status_404"] == 1


def test_an_endpoint_that_never_responds_fails_the_job_and_asks_for_the_url(failures):
    line = failures.line("unreachable", "pyflink_prometheus.errors.RetriesExhaustedError: ")
    assert failures.nowhere in line
    assert "Connection refused" in line
    assert "check the URL" in line


def test_records_that_are_no_series_fail_the_job_and_name_the_setter(failures):
    line = failures.line("no converter", "TypeError: ")
    assert "{'temperature': 20.5}" in line
    assert "set_element_converter" in line


def test_a_converter_that_raises_fails_the_job_with_its_own_error_and_place(failures):
    assert failures.line("converter raises", "KeyError: ") == "KeyError: 'temprature'"
    assert "in misspelt" in failures.errors["converter raises"]
