"""The arguments that ``key_by_with_timestamps`` refuses; jobs in ``tests/cluster`` show its effect."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pyflink_prometheus import key_by_with_timestamps


def test_a_strategy_without_timestamps_is_told_what_to_add():
    strategy = SimpleNamespace(_timestamp_assigner=None)
    with pytest.raises(ValueError, match=r"watermark_strategy: add \.with_timestamp_assigner\(\.\.\.\)"):
        key_by_with_timestamps(None, strategy, len)


def test_a_key_must_be_a_function():
    with pytest.raises(TypeError, match="key_selector: expected a function"):
        key_by_with_timestamps(None, SimpleNamespace(), "device")  # type: ignore[arg-type]
