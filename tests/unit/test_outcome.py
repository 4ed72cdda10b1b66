"""The classification of responses, and Retry-After."""

from __future__ import annotations

import pytest

from pyflink_prometheus.config import RetryConfiguration
from pyflink_prometheus.http.outcome import Kind, classify_status, parse_retry_after
from pyflink_prometheus.writer.retry import RETRY_AFTER_CAP_S, RetryState


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ([200, 202, 204, 299], Kind.ACCEPTED),
        ([429, 500, 502, 503, 504, 599], Kind.RETRYABLE),
        ([400, 402, 406, 409, 410, 415, 422, 499], Kind.REJECTED),
        ([413], Kind.TOO_LARGE),
        ([401, 403, 404, 405, 301, 302, 304, 307, 308, 100], Kind.FATAL),
    ],
)
def test_each_status_has_one_meaning(statuses, kind):
    assert {classify_status(status).kind for status in statuses} == {kind}


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "set_request_signer"), (403, "access"), (404, "web.enable-remote-write-receiver"), (405, "path")],
)
def test_a_fatal_answer_says_what_to_change(status, advice):
    assert advice in classify_status(status).message


def test_a_redirect_says_where_to():
    assert "http://elsewhere/write" in classify_status(301, location="http://elsewhere/write").message


def test_the_receivers_words_are_shown_as_they_are_up_to_a_limit():
    outcome = classify_status(400, "out of\norder\nsample")
    assert outcome.body_excerpt == "out of\norder\nsample"
    assert outcome.message == "HTTP 400: out of\norder\nsample"
    assert len(classify_status(400, "x" * 10_000).message) < 1_050


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 9.0),
        ("Fri, 31 Dec 1999 23:59:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert parse_retry_after(header, now_s=946_684_790.0) == seconds


def test_delays_double_up_to_the_bound_and_are_drawn_from_its_last_fifth():
    state = RetryState(RetryConfiguration(initial_retry_delay_ms=30, max_retry_delay_ms=5000, max_retry_count=12))
    delays = []
    while (state := state.next()) is not None:
        delays.append(state.delay_s(1.0))
        assert state.delay_s(0.0) == pytest.approx(0.8 * delays[-1])
    assert delays == [0.03, 0.06, 0.12, 0.24, 0.48, 0.96, 1.92, 3.84, 5.0, 5.0, 5.0, 5.0]


def test_no_number_of_retries_overflows():
    config = RetryConfiguration(max_retry_count=2**31)
    for retries in [*range(1, 10_001), 2**31]:
        assert 0.03 <= RetryState(config, retries).delay_s(1.0) <= 5.0


def test_retry_after_is_honoured_up_to_a_cap():
    state = RetryState(RetryConfiguration(), 1)
    assert state.delay_s(0.5, retry_after_s=7.0) == 7.0
    assert state.delay_s(1.0, retry_after_s=0.0) == 0.03
    assert state.delay_s(1.0, retry_after_s=1e9) == RETRY_AFTER_CAP_S
