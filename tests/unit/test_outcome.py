"""The classification of responses, and Retry-After."""

from __future__ import annotations

import pytest

from pyflink_prometheus.config import RetryConfiguration
from pyflink_prometheus.http.outcome import (
    Kind,
    Written,
    classify,
    classify_status,
    parse_retry_after,
)
from pyflink_prometheus.writer.retry import RETRY_AFTER_CAP_S, RetryState

HEADERS = {"X-Prometheus-Remote-Write-Samples-Written": "3"}


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ([200, 202, 204, 299], Kind.ACCEPTED),
        ([408, 425, 429, 500, 502, 503, 504, 599], Kind.RETRYABLE),
        ([400, 409, 422], Kind.REFUSED),
        ([413], Kind.TOO_LARGE),
        ([415], Kind.UNSUPPORTED),
        ([401, 402, 403, 404, 405, 406, 407, 410, 411, 421, 426, 431, 451, 499], Kind.FATAL),
        ([301, 302, 304, 307, 308, 100], Kind.FATAL),
    ],
)
def test_each_status_has_one_meaning(statuses, kind):
    assert {classify_status(status).kind for status in statuses} == {kind}


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "set_request_signer"),
        (403, "access"),
        (404, "web.enable-remote-write-receiver"),
        (405, "path"),
        (407, "HTTP_PROXY"),
        (411, "proxies"),
        (421, "host"),
        (426, "https://"),
        (431, "set_http_headers"),
        (402, "the URL, the credentials"),
    ],
)
def test_a_fatal_response_says_first_what_to_change_and_then_what_the_receiver_says(status, advice):
    said, _, words = classify_status(status, "go away").message.rpartition(" (")
    assert advice in said
    assert words == f"HTTP {status}: go away)"


def test_a_redirect_says_where_to():
    message = classify_status(301, "<html><body>Moved</body></html>", location="http://elsewhere/write\r\nX: y").message
    assert message.startswith("the sink does not follow redirects")
    assert message.endswith("(HTTP 301 to http://elsewhere/write X: y)")


def test_the_receivers_words_are_shown_on_one_line_up_to_a_limit():
    outcome = classify_status(400, " out of\r\n  order\n\n\u2028sample,  two  blanks\n")
    assert outcome.body_excerpt == " out of\r\n  order\n\n\u2028sample,  two  blanks\n"
    assert outcome.message == "HTTP 400: out of order sample,  two  blanks"
    assert len(classify_status(400, "x\n" * 10_000).message) < 1_050


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            "<!DOCTYPE html>\n<html><head><title>502</title><style>b {\n}</style></head>\n<body>Bad <b>Gateway</b>\n"
            "<script>if (1 < 2) {}</script><!-- padding --></body></html>",
            "502 Bad Gateway",
        ),
        ("<html><body>Sign in <form action='", "Sign in"),
        ("<HTML><script>cut off", ""),
        ("out of order: 1 < 2 and 3 > 2, <nil>", "out of order: 1 < 2 and 3 > 2, <nil>"),
    ],
    ids=["page", "cut within a tag", "cut within a script", "no page"],
)
def test_of_a_web_page_only_its_words_are_shown(body, shown):
    message = classify_status(503, body).message
    assert message == (f"HTTP 503: {shown}" if shown else "HTTP 503")
    assert classify_status(503, body).body_excerpt == body


@pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8"])
@pytest.mark.parametrize("status", [200, 202])
def test_a_success_that_is_a_web_page_is_none(status, content_type):
    """A login page stands in front of the receiver, or the URL is that of something else: nothing is stored."""
    outcome = classify(status, "<html><body>Sign in</body></html>", {"Content-Type": content_type}, 0.0)
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("the URL returns a web page")
    assert outcome.message.endswith(f"(HTTP {status}: Sign in)")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "text/plain; note=text/html"])
def test_a_success_of_any_other_type_is_one(content_type):
    outcome = classify(200, "<html>", {"Content-Type": content_type, **HEADERS}, 0.0)
    assert (outcome.kind, outcome.written) == (Kind.ACCEPTED, Written(samples=3))


@pytest.mark.parametrize("status", [200, 204])
def test_a_success_without_a_body_is_no_web_page(status):
    """Frameworks that receivers are made with say text/html where nobody says anything."""
    assert classify(status, "", {"Content-Type": "text/html; charset=utf-8"}, 0.0).kind is Kind.ACCEPTED


def test_a_refusal_that_is_a_web_page_stays_what_its_status_says():
    for status in (400, 413, 415, 429, 503):
        assert classify(status, "<html>", {"Content-Type": "text/html"}, 0.0).kind is classify_status(status).kind


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
    retry = RetryConfiguration(initial_retry_delay_ms=30, max_retry_delay_ms=5000, max_retry_count=12)
    state = RetryState(retry)
    delays = []
    while (following := state.next()) is not None:
        state = following
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
    assert state.delay_s(0.5, retry_after_s=144.0) == 144.0  # the most that Mimir asks for
    assert state.delay_s(1.0, retry_after_s=0.0) == 0.03
    assert state.delay_s(1.0, retry_after_s=1e9) == RETRY_AFTER_CAP_S


@pytest.mark.parametrize("count", ["9" * 5000, "1" * 20, "-1", "1.5", "²", ""])
def test_a_count_that_no_request_can_have_is_none(count):
    """Python refuses to read so many digits; the writer must not stop because of what a receiver sends."""
    assert classify(204, "", {"X-Prometheus-Remote-Write-Samples-Written": count}, 0.0).written is None
