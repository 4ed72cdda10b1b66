"""The check of what a receiver stores, with a test series that the user has agreed to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.preflight.finding import Finding, Severity
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.request import encode, headers_of
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.batch import Batch

OK, ADVICE, PROBLEM = Severity.OK, Severity.ADVICE, Severity.PROBLEM
V2 = RemoteWriteVersion.V2

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
#: How late the test samples are, in seconds.
_LATENESS_S = (
    *(1, 10, _MINUTE_S, 10 * _MINUTE_S, 30 * _MINUTE_S),
    *(_HOUR_S, 2 * _HOUR_S, 6 * _HOUR_S, 12 * _HOUR_S, _DAY_S, 7 * _DAY_S),
)
_DEFAULT_BATCH = 10_000


class Trial:
    """
    The check with a test series. It writes some current samples, and older and older ones until one is refused.

    The series have the label ``check``, which says what they test, and ``run``, which keeps runs apart.

    :param config: the settings of the endpoint.
    :param transport: its transport.
    :param version: the best version that the receiver supports.
    :param metric_name: the name of the test series.
    :raises InvalidTimeSeriesError: if it is not a metric name.
    """

    def __init__(
        self, config: SinkConfig, transport: RequestsTransport, version: RemoteWriteVersion, metric_name: str
    ) -> None:
        canonical_labels(metric_name, {})
        self._config = config
        self._transport = transport
        self._version = version
        self._metric_name = metric_name
        self._now_ms = int(time.time() * 1000)

    def findings(self) -> Iterator[Finding]:
        """Write the test series, and yield what the receiver does with each."""
        outcome = self._write("sample", [self._now_ms], [1.0])
        if not _is_written(outcome, samples=1):
            message = f"It refuses a current sample: {outcome.message}."
            yield Finding("sample", PROBLEM, message, "fix the reported cause; a job's samples would be refused too")
            return
        yield Finding("sample", OK, "It accepts a current sample.")
        yield self._many()
        yield self._histogram()
        yield self._exemplar()
        yield self._late()

    def _many(self) -> Finding:
        count = self._config.max_batch_size_in_samples
        count = self._config.adaptive_sending.max_batch_size_in_samples if count is None else count
        times = [self._now_ms - number for number in range(count - 1, -1, -1)]
        outcome = self._write("many", times, [1.0] * count)
        if _is_written(outcome, samples=count):
            return Finding("sample limit", OK, f"It accepts {count:,} samples in a request, the most that is sent.")
        remedy = "raise the receiver's limit, or set_max_batch_size_in_samples to less; the sink halves requests on 413"
        return Finding("sample limit", ADVICE, f"It refuses {count:,} samples in a request: {outcome.message}.", remedy)

    def _histogram(self) -> Finding:
        histogram = NativeHistogram.from_observations([0.1, 0.2, 1.0], schema=3)
        outcome = self._write("histogram", [self._now_ms], [float("nan")], Point(histogram))
        if _is_written(outcome, histograms=1):
            return Finding("histograms", OK, "It accepts native histograms.")
        remedy = (
            "set_send_native_histograms(False) unless the job has none, or let the receiver accept them (Prometheus "
            "before 3.9: --enable-feature=native-histograms)"
        )
        return Finding("histograms", ADVICE, f"It refuses native histograms: {outcome.message}.", remedy)

    def _exemplar(self) -> Finding:
        exemplar = ((("trace_id", "check"),), 1.0, self._now_ms)
        outcome = self._write("exemplar", [self._now_ms], [1.0], Point(1.0, exemplars=(exemplar,)))
        remedy = "set_send_exemplars(False) unless the job has none, or let the receiver store them (Prometheus: "
        remedy += "--enable-feature=exemplar-storage)"
        if outcome.kind is not Kind.ACCEPTED:
            return Finding("exemplars", ADVICE, f"It refuses exemplars: {outcome.message}.", remedy)
        if outcome.written is None:
            message = "It accepts exemplars; with 1.0, no receiver reports whether it stores them."
            return Finding("exemplars", OK, message)
        if outcome.written.exemplars:
            message = (
                "It accepts exemplars, and counts them as written, as Prometheus does even if it does not store them."
            )
            return Finding("exemplars", OK, message)
        return Finding("exemplars", ADVICE, "It drops exemplars: it counts none as written.", remedy)

    def _late(self) -> Finding:
        latest, refusal = 0, ""
        self._write("late", [self._now_ms], [1.0])
        for late_s in _LATENESS_S:
            outcome = self._write("late", [self._now_ms - 1000 * late_s], [1.0])
            if not _is_written(outcome, samples=1):
                refusal = outcome.message
                break
            latest = late_s
        if not refusal:
            return Finding("late samples", OK, f"It accepts samples {_duration(latest)} late.")
        remedy = (
            "reorder in Flink, or give Prometheus an out_of_order_time_window, if samples may come later; a job that "
            "restarts resends some"
        )
        if not latest:
            message = f"It refuses every sample that is older than the newest sample of its series: {refusal}."
            return Finding("late samples", ADVICE, message, remedy)
        following = next(each for each in _LATENESS_S if each > latest)
        refused = f"but refuses samples {_duration(following)} late: {refusal}."
        message = f"It accepts samples {_duration(latest)} late, {refused}"
        return Finding("late samples", OK, message, remedy)

    def _write(
        self, check: str, timestamps: Sequence[int], values: Sequence[float], point: Point | None = None
    ) -> Outcome:
        table = SeriesTable()
        labels = {"check": check, "run": str(self._now_ms)}
        number = table.add(Series(canonical_labels(self._metric_name, labels)))
        batch = Batch(
            table,
            np.full(len(values), number, np.int32),
            np.array(timestamps, np.int64),
            np.array(values, np.float64),
            {} if point is None else {0: point},
        )
        return self._transport.post(encode(batch, self._version).body, headers_of(self._version))


def _is_written(outcome: Outcome, samples: int = 0, histograms: int = 0) -> bool:
    if outcome.kind is not Kind.ACCEPTED:
        return False
    written = outcome.written
    return written is None or (written.samples >= samples and written.histograms >= histograms)


def _duration(seconds: int) -> str:
    for size, unit in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute"), (1, "second")):
        if seconds >= size:
            return f"{seconds // size} {unit}{'' if seconds // size == 1 else 's'}"
    return "not"
