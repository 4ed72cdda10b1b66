"""Advice, logged once, on how to make a job faster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.pace import FlushStats, PaceWatch

_log = logging.getLogger(__name__)

_MIN_FLUSHES = 50
_MIN_SECONDS = 10.0
_MIN_SHARE_OF_WAITING = 0.5
_MAX_SHARE_OF_RETRIES = 0.05  # above this, bundles are not what makes the job wait


class BundleAdvice:
    """
    One warning if the job mostly waits for responses to requests that are small because PyFlink's bundles are small.

    A flush ends each bundle, so a request holds at most the samples of one bundle, and a flush takes at least one round
    trip to the receiver. A job that gets few records waits for records, not for responses, and gets no warning.

    :param ledger: counts the sent samples.
    :param monotonic: the source of monotonic time, in seconds.
    """

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._watch = PaceWatch(ledger, monotonic)
        self._stats = FlushStats()
        self._is_given = False

    def flushed(self, took_s: float, batch_size: int) -> None:
        """
        Take one more flush into account.

        :param took_s: the duration of the flush, in seconds.
        :param batch_size: how many samples a request may hold.
        """
        if self._is_given:
            return
        self._watch.waited(took_s)
        self._stats = stats = self._stats.plus(self._watch.stats())
        if stats.flushes < _MIN_FLUSHES or stats.elapsed_s < _MIN_SECONDS:
            return
        self._stats = FlushStats()
        samples_per_flush = stats.samples / stats.flushes
        if (
            stats.waiting < _MIN_SHARE_OF_WAITING
            or not 0 < samples_per_flush <= batch_size / 2
            or stats.repeated > _MAX_SHARE_OF_RETRIES * stats.attempts
        ):
            return
        self._is_given = True
        _log.warning(
            "raise python.fn-execution.bundle.size (default 1000), and python.fn-execution.bundle.time if that ends "
            "bundles first: the job spends %.0f %% of its time waiting for responses (%.0f ms each), with only %.0f "
            "samples in flight at a time because PyFlink's bundles hold no more; one request could hold %d",
            100 * stats.waiting,
            1000 * stats.mean_time_in_flight_s,
            samples_per_flush,
            batch_size,
        )


class Exchange(NamedTuple):
    """
    The transfer of records from one Python process to a writer in another.

    :param is_needless: whether the stream is keyed for a writer with one subtask.
    :param pickles: whether each record is pickled for the transfer.
    """

    is_needless: bool
    pickles: bool


def log_exchange_cost(exchange: Exchange, record: Any) -> None:
    """
    Log the cost of passing records to the writer if it could be lower.

    :param record: the first record.
    """
    if exchange.is_needless:
        _log.info(
            "remove key_by upstream of the Prometheus writer: the writer has one subtask, which gets all records in "
            "order anyway, and without key_by a record costs only a fraction as much"
        )
    kind = type(record)
    if exchange.pickles and kind.__module__ != "builtins":
        _log.info(
            "pass plain tuples (metric_name, labels, samples) to the Prometheus writer: each record is an instance of "
            "%s and is pickled on its way%s of that",
            kind.__qualname__,
            " together with its class, which is defined in the job's own file; a plain tuple costs a small fraction"
            if kind.__module__ == "__main__"
            else "; a plain tuple costs less than half",
        )


def warn_of_unverified_tls(config: SinkConfig) -> None:
    """Warn at each start if the receiver's certificate is not verified."""
    if config.tls is not None and config.tls.insecure_skip_verify:
        _log.warning(
            "set ca_file instead of insecure_skip_verify: the certificate of %s is not verified, so anyone on the "
            "network path can read and change the requests",
            config.url_without_credentials,
        )
