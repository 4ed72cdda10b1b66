"""The models respond and store like the real receivers: the same requests go to both, one after the other."""

from __future__ import annotations

import math
import time

import pytest
from raw_requests import V1, V2, ResponseHead, encode, post

from pyflink_prometheus import STALE_MARKER, PrometheusTimeSeries
from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.testing import (
    InfluxDbModel,
    PrometheusModel,
    Receiver,
    VictoriaMetricsModel,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def series(name, *samples, **labels):
    return [("__name__", name), *sorted(labels.items())], list(samples)


def many_labels(count):
    """Return this many labels besides the metric's name."""
    return {f"l{number:02}": "x" for number in range(count)}


def story_of_prometheus(now):
    """Return requests that show what Prometheus accepts and rejects, and how it responds."""
    return {
        "good": [series("a", (1.0, now))],
        "nothing": [],
        "the same once more": [series("a", (1.0, now))],
        "another value": [series("a", (2.0, now))],
        "another value among good ones": [series("a", (2.0, now)), series("b", (1.0, now))],
        "late, and then not, in one series": [
            series("a", (1.0, now - 1_000), (5.0, now + 1_000)),
            series("c", (1.0, now)),
        ],
        "in disorder": [series("d", (1.0, now), (2.0, now - 1_000), (3.0, now + 1_000))],
        "two values at one time": [series("e", (1.0, now), (2.0, now))],
        "one value twice": [series("f", (1.0, now), (1.0, now))],
        "a series twice": [series("g", (1.0, now)), series("g", (2.0, now - 1_000))],
        "an hour old": [series("h", (1.0, now - 59 * MINUTE))],
        "more than an hour old": [series("i", (1.0, now - 61 * MINUTE)), series("j", (1.0, now))],
        "NaN": [series("k", (math.nan, now))],
        "NaN again": [series("k", (math.nan, now))],
        "infinite": [series("l", (math.inf, now))],
        "names of any letters": [series("météo", (1.0, now), größe="ü")],
        "older than what another brings along": [
            series("n", (1.0, now - 55 * MINUTE)),
            series("o", (1.0, now + 9 * MINUTE)),
        ],
        "out of bounds since then": [series("p", (1.0, now - 55 * MINUTE)), series("q", (1.0, now))],
    }


def story_of_the_future(now):
    return {
        "good": [series("a", (1.0, now))],
        "nine minutes ahead": [series("b", (1.0, now + 9 * MINUTE)), series("c", (1.0, now))],
        "an hour ahead": [series("d", (1.0, now + HOUR)), series("e", (1.0, now))],
        "microseconds": [series("f", (1.0, now * 1_000)), series("g", (1.0, now))],
        "good again": [series("a", (2.0, now + 1_000))],
        "long ago": [series("h", (1.0, -(2**63))), series("i", (1.0, now))],
        "and again": [series("a", (3.0, now + 2_000))],
    }


def tell(real, model, version, story):
    """Post requests to both; return the responses, after checking that they are the same."""
    with Receiver(model) as receiver:
        for name, each in story.items():
            message = encode(version, *each)
            assert (name, post(receiver.url, version, message)) == (name, post(real.remote_write_url, version, message))


def stored_by(model):
    """Return a model's samples in the form of PrometheusServer.samples, in order of time."""
    found: dict[str, list[tuple[str, int]]] = {}
    for key, value, timestamp in model.stored:
        found.setdefault(key, []).append((repr(value), timestamp))
    return {key: sorted(samples, key=in_time) for key, samples in found.items()}


def in_time(sample):
    return sample[::-1]


def stored_in(real, names):
    """Return a receiver's samples of these metrics, with series named by their keys."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name in names:
        for labels, samples in real.samples(name).items():
            rest = tuple((label, value) for label, value in labels if label != "__name__")
            key = PrometheusTimeSeries(dict(labels)["__name__"], rest, ()).key()
            found[key] = sorted(((repr(value), timestamp) for value, timestamp in samples), key=in_time)
    return found


def names_in(story):
    return sorted({dict(labels)["__name__"] for requests in story.values() for labels, _ in requests})


def assert_alike(real, model, version, story, names=None):
    tell(real, model, version, story)
    assert stored_by(model) == stored_in(real, names_in(story) if names is None else names)


@pytest.fixture
def now():
    return int(time.time() * 1000)


@pytest.mark.parametrize("story", [story_of_prometheus, story_of_the_future])
@pytest.mark.parametrize("version", [V1, V2], ids=["1.0", "2.0"])
def test_prometheus(prometheus_empty, now, version, story):
    assert_alike(prometheus_empty, PrometheusModel(now), version, story(now), [r'{__name__=~".+"}'])


def test_the_old_prometheus(old_prometheus_empty, now):
    model = PrometheusModel(now, versions=[V1], max_lead_ms=None)
    assert_alike(old_prometheus_empty, model, V1, story_of_prometheus(now), [r'{__name__=~".+"}'])


def test_one_sample_in_microseconds_shuts_all_others_out_of_the_old_prometheus(old_prometheus_empty, now):
    """It has no bound in the future; docs/receivers.md says what to do."""
    model = PrometheusModel(now, versions=[V1], max_lead_ms=None)
    story = {
        "good": [series("a", (1.0, now))],
        "microseconds": [series("b", (1.0, now * 1_000))],
        "good again": [series("a", (2.0, now + 1_000))],
    }
    tell(old_prometheus_empty, model, V1, story)
    assert old_prometheus_empty.count("a") == 1


def test_the_old_prometheus_and_2_0(old_prometheus_empty, now):
    model = PrometheusModel(now, versions=[V1], max_lead_ms=None)
    assert_alike(old_prometheus_empty, model, V2, {"good": [series("a", (1.0, now))], "nothing": []})
    assert model.stored == []


FIRST = {
    "least": lambda now: -(2**63),
    "within an hour of it": lambda now: -(2**63) + HOUR - 1,
    "an hour after it": lambda now: -(2**63) + HOUR,
    "far ahead": lambda now: 2**62,
    "greatest": lambda now: 2**63 - 1,
    "microseconds": lambda now: now * 1_000,
    "an hour ahead": lambda now: now + HOUR,
    "nine minutes ahead": lambda now: now + 9 * MINUTE,
    "seconds": lambda now: now // 1_000,
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("version", [V1, V2], ids=["1.0", "2.0"])
def test_the_first_timestamp_in_an_empty_prometheus(prometheus_empty, now, version, first):
    timestamp = FIRST[first](now)
    story = {
        "with good ones": [series("a", (1.0, timestamp)), series("b", (1.0, now)), series("c", (1.0, now))],
        "the same again": [series("a", (1.0, timestamp)), series("b", (1.0, now)), series("c", (1.0, now))],
        "good": [series("b", (1.0, now)), series("d", (1.0, now))],
    }
    tell(prometheus_empty, PrometheusModel(now), version, story)


@pytest.mark.parametrize("first", FIRST)
def test_the_first_timestamp_in_an_empty_old_prometheus(old_prometheus_empty, now, first):
    timestamp = FIRST[first](now)
    story = {
        "with good ones": [series("a", (1.0, timestamp)), series("b", (1.0, now)), series("c", (1.0, now))],
        "alone": [series("e", (1.0, timestamp))],
        "good": [series("b", (1.0, now)), series("d", (1.0, now))],
    }
    tell(old_prometheus_empty, PrometheusModel(now, versions=[V1], max_lead_ms=None), V1, story)


def test_too_many_bytes_for_prometheus(prometheus_empty, now):
    story = {"34 MB": [series("a", (1.0, now), text="x" * 34_000_000)], "good": [series("a", (1.0, now))]}
    for version in (V1, V2):
        tell(prometheus_empty, PrometheusModel(now), version, story)


@pytest.mark.parametrize("version", [V1, V2], ids=["1.0", "2.0"])
def test_victoria_metrics(victoria_metrics, metric_name, now, version):
    prefix = metric_name[-100:]  # the name's length is also limited
    story = {
        "nothing": [],
        "any order": [series(f"{prefix}a", (1.0, now), (2.0, now - 1_000)), series(f"{prefix}b", (1.0, now))],
        "another value, which it keeps as well": [series(f"{prefix}a", (3.0, now))],
        "the most labels": [series(f"{prefix}c", (1.0, now), **many_labels(39))],
        "too many": [series(f"{prefix}d", (1.0, now), **many_labels(40)), series(f"{prefix}e", (1.0, now))],
        "the longest value": [series(f"{prefix}f", (1.0, now), text="x" * 4_096)],
        "too long": [series(f"{prefix}g", (1.0, now), text="x" * 4_097)],
        "the longest name of a label": [series(f"{prefix}h", (1.0, now), **{"b" * 256: "x"})],
        "too long a name": [series(f"{prefix}i", (1.0, now), **{"b" * 257: "x"})],
        "a long name of a metric": [series(f"{prefix}{'j' * 200}", (1.0, now))],
        "too long a name of a metric": [series(f"{prefix}{'j' * 4_096}", (1.0, now))],
        "47 and 49 hours ahead": [
            series(f"{prefix}k", (1.0, now + 47 * HOUR)),
            series(f"{prefix}l", (1.0, now + 49 * HOUR)),
        ],
        "30 and 32 days old": [
            series(f"{prefix}m", (1.0, now - 30 * DAY)),
            series(f"{prefix}n", (1.0, now - 32 * DAY)),
        ],
        "microseconds, seconds": [series(f"{prefix}o", (1.0, now * 1_000)), series(f"{prefix}p", (1.0, now // 1_000))],
        "NaN": [series(f"{prefix}q", (1.0, now - 1), (math.nan, now))],
        "the end of a series": [series(f"{prefix}r", (1.0, now - 1), (STALE_MARKER, now))],
        "infinite": [series(f"{prefix}s", (math.inf, now))],
    }
    assert_alike(victoria_metrics, VictoriaMetricsModel(now), version, story)


def test_too_many_bytes_for_victoria_metrics(victoria_metrics, metric_name, now):
    story = {"34 MB": [series(metric_name, (1.0, now), text="x" * 34_000_000)]}
    assert_alike(victoria_metrics, VictoriaMetricsModel(now), V1, story)


@pytest.mark.parametrize("version", [V1, V2], ids=["1.0", "2.0"])
def test_influxdb(influxdb, metric_name, now, version):
    name = metric_name
    story = {
        "nothing": [],
        "any order": [series(f"{name}a", (1.0, now), (2.0, now - 1_000)), series(f"{name}b", (1.0, now))],
        "another value, which takes the place of the first": [series(f"{name}a", (3.0, now))],
        "two values in one request": [series(f"{name}c", (1.0, now), (2.0, now))],
        "NaN among others": [series(f"{name}d", (1.0, now), (math.nan, now + 1), (2.0, now + 2))],
        "infinite among others": [series(f"{name}e", (1.0, now), (math.inf, now + 1)), series(f"{name}f", (1.0, now))],
        "minus infinite": [series(f"{name}g", (-math.inf, now))],
        "a long key among others": [series(f"{name}h", (1.0, now)), series(f"{name}i", (1.0, now), text="x" * 70_000)],
        "long ago and far ahead": [
            series(f"{name}j", (1.0, now - 400 * DAY)),
            series(f"{name}k", (1.0, now + 400 * DAY)),
        ],
        "microseconds": [series(f"{name}l", (1.0, now * 1_000))],
        "many labels": [series(f"{name}m", (1.0, now), **many_labels(60))],
    }
    assert_alike(influxdb, InfluxDbModel(), version, story)


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?db=another", 404)])
def test_influxdb_without_its_database(influxdb, now, query, status):
    """It also refuses a request without samples, which reveals it."""
    url = influxdb.remote_write_url.partition("?")[0] + query
    for message in (encode(V1, series("a", (1.0, now))), encode(V1)):
        assert post(url, V1, message).status == status


REAL = ["prometheus", "old_prometheus", "victoria_metrics", "influxdb"]


@pytest.mark.parametrize("real", REAL)
@pytest.mark.parametrize("version", [V1, V2], ids=["1.0", "2.0"])
def test_every_real_receiver_accepts_a_request_without_samples(request, real, version):
    """That reveals a path that is not a receiver's; a non-empty body, also one that accepts an empty body."""
    receiver = request.getfixturevalue(real)
    counts = Written() if (real, version) == ("prometheus", V2) else None
    messages = [encode(version), encode(version, series("nothing", a="b"))]
    if version is V1:
        messages.append(b"\x10\x00")  # a field that Mimir and Cortex know, and others skip
    for message in messages:
        assert post(receiver.remote_write_url, version, message) == ResponseHead(204, counts)


@pytest.mark.parametrize(("real", "path"), [("victoria_metrics", "/write"), ("influxdb", "/write?db=samples")])
def test_a_line_protocols_path_accepts_an_empty_body_and_no_other(request, real, path):
    url = request.getfixturevalue(real).url + path
    assert post(url, V1, b"").status == 204
    assert post(url, V1, b"\x10\x00").status == 400
    assert post(url, V2, encode(V2)).status == 400


@pytest.mark.parametrize("path", ["/api/v1/import", "/api/v1/import/prometheus"])
def test_other_paths_of_victoria_metrics_take_anything_and_store_nothing(victoria_metrics, metric_name, path, now):
    """docs/receivers.md warns of them: the response does not mention them."""
    assert post(victoria_metrics.url + path, V1, encode(V1, series(metric_name, (1.0, now)))).status == 204
    assert victoria_metrics.samples(metric_name) == {}
