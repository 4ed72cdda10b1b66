"""A time that is not an int of milliseconds is refused, with advice on how to convert it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from operator_harness import Harness
from pyflink.common.time import Instant

from pyflink_prometheus import (
    InvalidTimeSeriesError,
    PrometheusSinkError,
    PrometheusTimeSeries,
    Reorder,
)

MS = 1_700_000_000_123
UTC = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=MS)
NAIVE = UTC.replace(tzinfo=None)

TIMES = {
    "datetime with a zone": UTC,
    "datetime with another zone": UTC.astimezone(timezone(timedelta(hours=5, minutes=30))),
    "datetime without a zone": NAIVE,
    "pandas with a zone": pd.Timestamp(UTC),
    "pandas without a zone": pd.Timestamp(NAIVE),
    "numpy in ns": np.datetime64(NAIVE, "ns"),
    "numpy in ms": np.datetime64(NAIVE, "ms"),
    "Flink's Instant": Instant.of_epoch_milli(MS),
    "seconds": MS / 1000,
}


@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_the_advice_gives_the_right_milliseconds(time):
    with pytest.raises(InvalidTimeSeriesError) as caught:
        PrometheusTimeSeries("m", {}, ((1.0, time),)).check()
    advice = re.search(r"(?:use|first:) ((?:round|int|instant)\S*\(.*?\))(?: if| where|$)", str(caught.value))
    assert advice
    names = {"time": time, "instant": time, "seconds": time, "timezone": timezone}
    assert eval(advice[1], {}, names) == MS


def test_the_advice_for_a_time_without_a_zone_is_to_attach_it():
    with pytest.raises(InvalidTimeSeriesError, match="attach its zone first"):
        PrometheusTimeSeries("m", {}, ((1.0, NAIVE),)).check()  # type: ignore[arg-type]


def test_operators_give_it_too():
    with pytest.raises(PrometheusSinkError, match=r"use instant\.to_epoch_milli\(\)$"):
        Harness(Reorder(timestamp=lambda event: event)).send(TIMES["Flink's Instant"])
