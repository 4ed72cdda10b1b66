"""How soon the cache of series is full again; on the caller's thread."""

from __future__ import annotations

import logging

from pyflink_prometheus.writer.ledger import Ledger

_log = logging.getLogger(__name__)

# A series that is used less often than this before it is dropped may as well not be kept.
_FEW_SAMPLES = 4.0


class Turnover:
    """
    One warning if most series leave the cache before it has been useful.

    :param ledger: counts the samples.
    :param max_cached_series: the largest number of series that the cache keeps.
    """

    def __init__(self, ledger: Ledger, max_cached_series: int) -> None:
        self._ledger = ledger
        self._max_cached_series = max_cached_series
        self._samples_before: int | None = None
        self._is_given = False

    def begin_generation(self) -> None:
        """Note that one half of the cache is full and the other one has been emptied."""
        samples, before = self._ledger.samples_in, self._samples_before
        self._samples_before = samples
        if before is None or self._is_given:  # at a start all series are new
            return
        per_series = (samples - before) / max(1, self._max_cached_series // 2)
        if per_series >= _FEW_SAMPLES:
            return
        self._is_given = True
        _log.warning(
            "raise max_cached_series=%d to more than twice the number of series that a subtask writes, or remove a "
            "label whose values do not recur: a series gets %.1f samples before the sink drops it from its cache, and "
            "encoding it again costs more than ten samples",
            self._max_cached_series,
            per_series,
        )
