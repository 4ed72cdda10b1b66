"""The advice to keep more series: given once, if most are dropped before keeping them pays off."""

from __future__ import annotations

import numpy as np
import pytest

from pyflink_prometheus.testing import ScriptedTransport
from pyflink_prometheus.writer.family import RowFamily

FAMILY = RowFamily("m", ("device",))


@pytest.fixture
def write(open_writer):
    """Return a function that repeatedly writes one sample of each of many devices."""
    writer = open_writer(new_transport=lambda config: ScriptedTransport(), max_cached_series=200)

    def write_rounds(devices: int, rounds: int) -> None:
        for number in range(rounds):
            names = [str(device) for device in range(devices)]
            for start in range(0, devices, 50):
                part = names[start : start + 50]
                timestamps = np.full(len(part), 1_700_000_000_000 + number)
                writer.add_rows(FAMILY, [part], timestamps, np.ones(len(part)))
        writer.flush()

    return write_rounds


def test_more_series_than_half_of_the_limit_lead_to_advice_once(write, caplog):
    write(150, 20)
    (advice,) = [each.message for each in caplog.records if "max_cached_series" in each.message]
    assert advice.startswith("raise max_cached_series=200 to more than twice")
    assert "gets 1.0 samples" in advice


def test_no_more_than_half_of_the_limit_need_none(write, caplog):
    write(100, 20)
    assert "max_cached_series" not in caplog.text


def test_a_start_needs_none_because_all_series_are_new(write, caplog):
    write(150, 1)
    assert "max_cached_series" not in caplog.text


def test_series_that_change_slowly_need_none(write, caplog):
    write(90, 20)
    write(100, 20)
    write(110, 1)
    assert "max_cached_series" not in caplog.text
