"""The content of a request: samples grouped by series, in order of time, without duplicates."""

from __future__ import annotations

import pytest
from batches import batch_of, rows_of

from pyflink_prometheus import STALE_MARKER, NativeHistogram
from pyflink_prometheus.config import ConflictPolicy
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Series


def series(name):
    return Series(canonical_labels(name, {}))


def batch(*samples):
    known: dict[str, Series] = {}
    return batch_of([(known.setdefault(name, series(name)), timestamp, value) for name, timestamp, value in samples])


def rows(made):
    return [(dict(each.labels)["__name__"], timestamp, value) for each, timestamp, value in rows_of(made)]


def taken_out(ordered):
    return rows(ordered.duplicates), rows(ordered.conflicting)


def test_samples_of_a_series_stand_together_in_order_of_time():
    ordered = batch(("a", 3, 1.0), ("b", 1, 1.0), ("a", 1, 2.0), ("b", 2, 1.0)).in_order()
    assert rows(ordered.batch) == [("a", 1, 2.0), ("a", 3, 1.0), ("b", 1, 1.0), ("b", 2, 1.0)]
    assert taken_out(ordered) == ([], [])


@pytest.mark.parametrize("policy", ConflictPolicy)
def test_exact_duplicates_are_taken_out_and_given_back(policy):
    nan = float("nan")
    ordered = batch(("a", 1, 1.0), ("a", 1, 1.0), ("b", 1, nan), ("b", 1, nan)).in_order(policy)
    assert rows(ordered.batch)[0] == ("a", 1, 1.0)
    assert [row[:2] for row in rows(ordered.batch)] == [("a", 1), ("b", 1)]
    assert [row[:2] for row in rows(ordered.duplicates)] == [("a", 1), ("b", 1)]
    assert rows(ordered.conflicting) == []


@pytest.mark.parametrize(
    ("policy", "kept", "duplicates", "conflicting"),
    [
        (ConflictPolicy.KEEP_FIRST, [2.0], [2.0], [1.0, 0.0, 0.0, -0.0]),
        (ConflictPolicy.KEEP_LAST, [-0.0], [], [2.0, 1.0, 2.0, 0.0, 0.0]),
        (ConflictPolicy.REJECT_ALL, [], [], [2.0, 1.0, 2.0, 0.0, 0.0, -0.0]),
        (ConflictPolicy.SEND_ALL, [2.0, 1.0, 2.0, 0.0, -0.0], [0.0], []),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_of_different_values_at_one_time_those_are_kept_that_the_policy_says(policy, kept, duplicates, conflicting):
    """
    In order of arrival; with SEND_ALL a value may be repeated, because some receivers keep the last.

    The other samples of the series, and other series, stay as they are.
    """
    samples = [("a", 1, value) for value in (2.0, 1.0, 2.0, 0.0, 0.0, -0.0)]
    ordered = batch(("a", 0, 5.0), *samples, ("a", 2, 5.0), ("b", 1, 5.0)).in_order(policy)
    of_the_moment = [("a", 1, repr(value)) for value in kept]
    assert [(*row[:2], repr(row[2])) for row in rows(ordered.batch)] == [
        *[("a", 0, "5.0"), *of_the_moment, ("a", 2, "5.0"), ("b", 1, "5.0")],
    ]
    shown = [[repr(value) for _, _, value in each] for each in taken_out(ordered)]
    assert shown == [[repr(value) for value in each] for each in (duplicates, conflicting)]


def test_values_at_one_time_that_are_all_sent_are_in_successive_requests():
    """Because Prometheus keeps the first value of a request, and silently drops the others."""
    a = [("a", 1, 1.0), ("a", 1, 2.0), ("a", 1, 3.0), ("a", 2, 4.0)]
    made = batch(*a, ("b", 1, 1.0), ("b", 1, 2.0), ("c", 1, 1.0))
    ordered = made.in_order(ConflictPolicy.SEND_ALL)
    requests = ordered.batch.requests()
    assert [rows(each) for each in requests] == [
        [("a", 1, 1.0), ("b", 1, 1.0), ("c", 1, 1.0)],
        [("a", 1, 2.0), ("b", 1, 2.0)],
        [("a", 1, 3.0), ("a", 2, 4.0)],
    ]
    assert sum(map(len, requests)) == len(made)


def test_a_series_that_was_forgotten_and_made_again_is_still_one():
    made = batch_of([(series("b"), 5, 0.0), (series("a"), 2, 1.0), (series("a"), 1, 2.0)])
    assert rows(made.in_order().batch) == [("b", 5, 0.0), ("a", 1, 2.0), ("a", 2, 1.0)]


def test_a_batch_without_repetition_is_left_as_it_is():
    made = batch(("b", 2, 1.0), ("a", 1, 1.0))
    assert made.in_order().batch is made


def test_by_time_keeps_the_order_of_a_series_even_at_the_same_time():
    made = batch(("a", 2, 1.0), ("a", 2, 0.0), ("b", 1, 3.0), ("b", 2, 4.0)).by_time()
    assert rows(made) == [("b", 1, 3.0), ("a", 2, 1.0), ("a", 2, 0.0), ("b", 2, 4.0)]
    assert rows(made.part(1, 3)) == [("a", 2, 1.0), ("a", 2, 0.0)]


def test_records_are_what_the_user_gave():
    made = batch_of([(Series(canonical_labels("m", {"a": "1"})), 5, 1.5)])
    assert list(made.records()) == [PrometheusTimeSeries("m", {"a": "1"}, ((1.5, 5),))]


def test_floats_that_follow_histograms_of_their_series_wait_for_the_next_request():
    histogram = Point(NativeHistogram.from_observations([1.0]))
    mixed = batch(
        *[("a", 1, 1.0), ("a", 2, histogram), ("a", 3, 3.0)],
        *[("a", 4, histogram), ("a", 5, STALE_MARKER), ("a", 6, 6.0)],
        *[("b", 1, histogram), ("b", 2, STALE_MARKER), ("c", 1, 1.0), ("c", 2, histogram), ("d", 1, histogram)],
    )
    assert [[row[:2] for row in rows(each)] for each in mixed.requests()] == [
        [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1), ("c", 2), ("d", 1)],
        [("a", 3), ("a", 4), ("a", 5)],
        [("a", 6)],
    ]


def test_most_batches_are_one_request():
    floats = batch(("a", 1, 1.0), ("b", 1, 1.0))
    assert floats.requests() == [floats]
    histograms = batch(("a", 1, Point(NativeHistogram.from_observations([1.0]))), ("a", 2, STALE_MARKER))
    assert histograms.requests() == [histograms]


def test_runs_that_are_in_order_are_left_as_they_are():
    made = batch(("b", 1, 1.0), ("b", 2, 1.0), ("a", 1, 1.0), ("a", 2, 1.0))
    assert rows(made.in_order().batch) == rows(made)


def test_two_runs_of_a_series_become_one():
    ordered = batch(("a", 1, 1.0), ("a", 2, 1.0), ("b", 1, 1.0), ("a", 3, 1.0)).in_order()
    assert rows(ordered.batch) == [("a", 1, 1.0), ("a", 2, 1.0), ("a", 3, 1.0), ("b", 1, 1.0)]
    assert taken_out(ordered) == ([], [])


def test_a_run_that_goes_back_in_time_is_put_in_order():
    ordered = batch(("a", 1, 1.0), ("a", 3, 1.0), ("a", 2, 1.0), ("a", 2, 1.0)).in_order()
    assert rows(ordered.batch) == [("a", 1, 1.0), ("a", 2, 1.0), ("a", 3, 1.0)]
    assert taken_out(ordered) == ([("a", 2, 1.0)], [])
