"""The function that receives batches: what it reads, flushes and refuses."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from pyflink.common import Types
from pyflink.table.udf import FunctionContext

from pyflink_prometheus import InvalidTimeSeriesError, PrometheusSinkError, PrometheusTimeSeries, RejectedSamples
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink.batches import BatchFunction
from pyflink_prometheus.flink.columns import RecordReader, record_columns
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.testing import Receiver

T = 1_700_000_000_000


class MetricGroup:
    """A metric group like PyFlink's: with one group and one gauge per name."""

    def __init__(self):
        self._groups = defaultdict(MetricGroup)
        self._gauges = {}

    def add_group(self, *names):
        return self._groups[names]

    def counter(self, name):
        return MagicMock()

    def gauge(self, name, read):
        self._gauges[name] = read

    def end_bundle(self):
        """Read all gauges, as PyFlink does at the end of a bundle."""
        found = {name: read() for name, read in self._gauges.items()}
        for group in self._groups.values():
            found |= group.end_bundle()
        return found


def function_of(reader, url="http://receiver.invalid/api/v1/write", **settings):
    return BatchFunction(SubtaskWriter(SinkConfig(prometheus_remote_write_url=url, **settings)), reader)


@pytest.fixture
def opened():
    """Yield a function that opens functions in one operator, and the operator's metric group."""
    functions, group = [], MetricGroup()

    def open_one(function):
        function.open(FunctionContext(group, {}))
        functions.append(function)
        return function

    yield open_one, group
    for each in functions:
        each.close()


def convert(metric_name):
    def to_series(number):
        if number == 13:
            raise InvalidTimeSeriesError("number", "unlucky")
        return None if number % 2 == 0 else PrometheusTimeSeries(metric_name, {}, ((float(number), T + number),))

    return to_series


def longs(metric_name):
    return RecordReader(record_columns(Types.LONG()), convert(metric_name))


def test_a_batch_is_converted_record_by_record_and_flushed_at_the_end_of_the_bundle(opened):
    open_one, group = opened
    rejected: list[RejectedSamples] = []
    with Receiver() as receiver:
        function = open_one(function_of(longs("m"), receiver.url, rejected_samples_handler=rejected.extend))
        result = function.eval(pd.Series(range(10)))
        function.eval(pd.Series([11, 13]))
        assert receiver.requests == []
        group.end_bundle()
        assert [value for request in receiver.requests for _, value, _ in request.samples] == [
            1.0,
            3.0,
            5.0,
            7.0,
            9.0,
            11.0,
        ]
    assert result.tolist() == [0] * 10
    assert result.dtype == np.int8
    assert [each.reason.name for each in rejected] == ["INVALID"]


def test_two_functions_in_one_operator_are_both_flushed(opened):
    open_one, group = opened
    with Receiver() as receiver:
        for metric_name in ("first", "second"):
            open_one(function_of(longs(metric_name), receiver.url)).eval(pd.Series([1]))
        gauges = group.end_bundle()
        assert {request.series[0].metric_name for request in receiver.requests} == {"first", "second"}
    assert {"lastFlushDurationMs", "lastFlushDurationMs2", "samplesPending", "samplesPending2"} <= set(gauges)


def test_constants_come_as_plain_values_and_rows_are_counted_by_a_column(opened):
    class Columns:
        seen: Any = ()

        def read(self, columns, rows, writer):
            type(self).seen = (list(map(type, columns)), rows)

    function = opened[0](function_of(Columns()))
    assert len(function.eval("job", None, pd.DataFrame({"a": [1, 2]}), pd.Series([1, 2]), np.float64(1))) == 2
    assert Columns.seen == ([str, type(None), pd.DataFrame, pd.Series, np.float64], 2)
    Columns.seen = ()
    assert len(function.eval(pd.Series([], dtype=float))) == 0
    assert Columns.seen == ()


def test_without_metrics_it_does_not_start():
    function = function_of(longs("m"))
    with pytest.raises(PrometheusSinkError, match=r"^remove python\.metric\.enabled: false"):
        function.open(FunctionContext(None, {}))
    function.close()


def test_it_takes_nothing_before_it_is_opened_and_after_it_is_closed(opened):
    function = function_of(longs("m"))
    with pytest.raises(PrometheusSinkError, match="only between open"):
        function.eval(pd.Series([1]))
    opened[0](function).close()
    with pytest.raises(PrometheusSinkError, match="only between open"):
        function.eval(pd.Series([1]))


def test_flink_must_not_fold_or_repeat_its_calls():
    assert function_of(longs("m")).is_deterministic() is False
