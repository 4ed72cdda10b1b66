"""Guards: optional checks of timestamps in the intake."""

from __future__ import annotations

import pytest

from pyflink_prometheus import RejectionReason
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.intake import Intake, SampleRejected
from pyflink_prometheus.writer.ledger import Ledger

NOW_S = 1_700_000_000
NOW = NOW_S * 1000


def guarded(**settings):
    config = SinkConfig(prometheus_remote_write_url="http://receiver/write", **settings)
    return Intake(config, lambda: NOW_S, Ledger())


def series(name="m"):
    return Series(canonical_labels(name, {}))


def refused(intake, known, timestamp):
    """Return the reason and the message of a refused sample, ``None`` if it is accepted."""
    try:
        intake.checked(known, (1.0, timestamp))
    except SampleRejected as error:
        return error.reason, str(error)
    return None


def test_no_sample_needs_a_look_by_default():
    assert not guarded().looks_at_every_sample


@pytest.mark.parametrize(
    ("setting", "at_the_edge", "beyond", "reason"),
    [
        ("max_sample_age_ms", NOW - 5000, NOW - 5001, RejectionReason.TOO_OLD),
        ("max_sample_lead_ms", NOW + 5000, NOW + 5001, RejectionReason.TOO_NEW),
    ],
)
def test_a_window_holds_its_edge_and_refuses_what_lies_beyond(setting, at_the_edge, beyond, reason):
    intake = guarded(**{setting: 5000})
    assert intake.looks_at_every_sample
    assert refused(intake, series(), at_the_edge) is None
    found, message = refused(intake, series(), beyond)
    assert found is reason
    assert "5001 ms" in message


def test_out_of_order_is_told_by_series():
    intake = guarded(drop_out_of_order_samples=True)
    assert [refused(intake, series(), NOW + offset) for offset in (0, 5, 5)] == [None, None, None]
    # Another object for the same series, as the cache makes if it has dropped the first.
    assert refused(intake, series(), NOW + 4) == (
        RejectionReason.OUT_OF_ORDER,
        f"samples: {NOW + 4} arrived after {NOW + 5}, a newer timestamp of the same series",
    )
    assert refused(intake, series("other"), NOW) is None


def test_a_sample_that_is_refused_for_another_reason_moves_no_order():
    intake = guarded(drop_out_of_order_samples=True, max_sample_lead_ms=10)
    assert refused(intake, series(), NOW + 11)[0] is RejectionReason.TOO_NEW
    assert refused(intake, series(), NOW) is None


def test_only_so_many_series_are_remembered():
    intake = guarded(drop_out_of_order_samples=True, max_cached_series=4)
    assert refused(intake, series("first"), NOW) is None
    for number in range(4):
        assert refused(intake, series(f"m{number}"), NOW) is None
    assert refused(intake, series("first"), NOW - 1) is None
    assert refused(intake, series("m3"), NOW - 1)[0] is RejectionReason.OUT_OF_ORDER
