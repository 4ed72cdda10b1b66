"""What a job shows, by its numbers or its graph, that its user could make faster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.pace import PaceWatch, Seen

_log = logging.getLogger(__name__)

_FLUSHES = 50  # that advice rests on, and
_SECONDS = 10.0
_MOST_OF_THE_TIME = 0.5
_TROUBLE = 0.05  # of the attempts repeated: then it is not the bundles that make the job wait


class BundleAdvice:
    """
    Say once if the job mostly waits for answers to requests that are small because PyFlink's bundles are.

    A flush ends each bundle, so that a request holds no more than one bundle brought, and takes at least as long as the
    way to the receiver and back. A job that gets few records waits for those, not for answers, and is left in peace.

    :param ledger: tells what was sent.
    :param monotonic: tells seconds that never go back.
    """

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._watch = PaceWatch(ledger, monotonic)
        self._seen = Seen()
        self._said = False

    def flushed(self, took_s: float, batch_size: int) -> None:
        """
        Look at one more flush.

        :param took_s: how long it took.
        :param batch_size: how many samples a request may hold.
        """
        if self._said:
            return
        self._watch.waited(took_s)
        self._seen = seen = self._seen.plus(self._watch.seen())
        if seen.flushes < _FLUSHES or seen.elapsed_s < _SECONDS:
            return
        self._seen = Seen()
        a_flush = seen.samples / seen.flushes
        if (
            seen.waiting < _MOST_OF_THE_TIME
            or not 0 < a_flush <= batch_size / 2
            or seen.repeated > _TROUBLE * seen.attempts
        ):
            return
        self._said = True
        _log.warning(
            "the job spends %.0f %% of its time waiting for the receiver's answers (%.0f ms each), and each time with "
            "%.0f samples on their way, where one request could hold %d: PyFlink's bundles bring no more. Raise "
            "python.fn-execution.bundle.size (1000 unless set), and python.fn-execution.bundle.time where that ends "
            "them first",
            100 * seen.waiting,
            1000 * seen.mean_time_in_flight_s,
            a_flush,
            batch_size,
        )


class Hop(NamedTuple):
    """
    Say how records reach a writer that is not in one Python process with what makes them.

    :param is_needless: whether they are keyed for a writer with one subtask.
    :param pickles: whether each of them is pickled on its way.
    """

    is_needless: bool
    pickles: bool


def tell_of_hop(hop: Hop, record: Any) -> None:
    """
    Say what the records' way to the writer costs, where it could cost less.

    :param record: the first one that came.
    """
    if hop.is_needless:
        _log.info(
            "the stream is keyed, and the Prometheus writer has one subtask, which gets all records in order anyway: "
            "without key_by a record costs a fraction"
        )
    kind = type(record)
    if hop.pickles and kind.__module__ != "builtins":
        _log.info(
            "each record that comes to the Prometheus writer is an instance of %s and is pickled on its way%s of that. "
            "Let what comes before return tuples: those of (metric_name, labels, samples) are series as they are",
            kind.__qualname__,
            ", with its class's definition, because that is in the job's own file: a plain tuple costs a small part"
            if kind.__module__ == "__main__"
            else ": a plain tuple costs less than half",
        )
