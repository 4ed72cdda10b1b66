"""The sink's function: what it does with records upstream of its writer."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink.advice import Exchange
from pyflink_prometheus.flink.function import WriterFunction
from pyflink_prometheus.flink.subtask import SubtaskWriter

GOOD: tuple[Any, ...] = ("m", {}, ((1.0, 1_700_000_000_000),))


@pytest.fixture(params=[None, Exchange(is_needless=True, pickles=True)], ids=["in one process", "over a hop"])
def function(request):
    """Yield an open function without a converter."""
    config = SinkConfig(prometheus_remote_write_url="http://receiver.invalid/api/v1/write")
    made = WriterFunction(SubtaskWriter(config), None, request.param)
    made.open(MagicMock())
    yield made
    made.close()


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("record", [None, 7, [GOOD], list(GOOD)], ids=["None", "number", "series in a list", "list"])
def test_what_is_no_series_is_refused_whether_it_comes_first_or_later(function, record, is_first):
    if not is_first:
        function.process_element(GOOD, None)
    with pytest.raises(TypeError, match=f"^the sink expected .*, got {type(record).__name__}, .*set_element_converter"):
        function.process_element(record, None)
