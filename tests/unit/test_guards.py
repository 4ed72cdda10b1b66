"""Optional checks of a sample's time."""

from __future__ import annotations

import pytest
from pyflink_prometheus.writer.guards import TimestampGuard

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.ledger import Reason

NOW_S = 1_700_000_000
NOW = NOW_S * 1000


def guard(**settings):
    config = SinkConfig(prometheus_remote_write_url="http://receiver/write", **settings)
    return TimestampGuard(config, lambda: NOW_S)


def series():
    return Series(canonical_labels("m", {}))


def test_no_guard_is_needed_by_default():
    assert not guard().needed


@pytest.mark.parametrize(
    ("setting", "at_the_edge", "beyond", "reason"),
    [
        ("max_sample_age_ms", NOW - 5000, NOW - 5001, Reason.TOO_OLD),
        ("max_sample_lead_ms", NOW + 5000, NOW + 5001, Reason.TOO_NEW),
    ],
)
def test_a_window_holds_its_edge_and_refuses_what_lies_beyond(setting, at_the_edge, beyond, reason):
    checking = guard(**{setting: 5000})
    assert checking.needed
    assert checking.refuse(series(), at_the_edge) is None
    refused, message = checking.refuse(series(), beyond)
    assert refused is reason
    assert "5001 ms" in message


def test_out_of_order_is_told_by_series():
    checking = guard(drop_out_of_order_samples=True)
    one, other = series(), series()
    assert [checking.refuse(one, NOW + offset) for offset in (0, 5, 5)] == [None, None, None]
    assert checking.refuse(one, NOW + 4) == (
        Reason.OUT_OF_ORDER,
        f"samples: {NOW + 4} came after {NOW + 5} of the same series",
    )
    assert checking.refuse(other, NOW) is None


def test_a_sample_that_is_refused_for_another_reason_moves_no_order():
    checking = guard(drop_out_of_order_samples=True, max_sample_lead_ms=10)
    known = series()
    assert checking.refuse(known, NOW + 11)[0] is Reason.TOO_NEW
    assert checking.refuse(known, NOW) is None
