"""Resending of samples in order, at a bounded rate, and from where an earlier run stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, islice
from pathlib import Path

from pyflink_prometheus.config import (
    ConflictPolicy,
    SinkConfig,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.guards.limits import SendingLimits
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.rescue.late_samples import LateSample, LateSamples
from pyflink_prometheus.rescue.resend_progress import ResendProgress
from pyflink_prometheus.secret import Secret
from pyflink_prometheus.writer.pace import FIRST_BATCH_SIZE
from pyflink_prometheus.writer.rejected import RejectedSamples
from pyflink_prometheus.writer.rejected_files import JsonLinesRejectedSamples
from pyflink_prometheus.writer.writer import RemoteWriter

# How many seconds of samples are sent between two writes of the progress file.
_SECONDS_IN_A_STEP = 5

# Prometheus's words for a refused sample, the more specific ones first.
_CAUSES = (
    "too old sample",
    "out of order sample",
    "duplicate sample for timestamp",
    "out of bounds",
    "too far in the future",
    "out of order",
)


class Resend:
    """
    The samples of a collection on their way to an endpoint, one tenant after the other, and in order of time.

    They are sent as they were the first time, so nothing is relabelled or excluded.

    :param config: the settings of the endpoint.
    :param samples: the samples.
    :param progress: how far they have been sent.
    :param progress_file: where the progress is kept. After each step all samples so far are settled, and the refused
        ones are on disk.
    :param left: keeps the samples that are still refused.
    :param samples_per_second: the most samples to send in a second.
    :param report: called with the progress after each step.
    :param new_writer: starts a writer.
    :param step: the most samples to send between two writes of the progress file.
    """

    def __init__(
        self,
        config: SinkConfig,
        samples: LateSamples,
        progress: ResendProgress,
        *,
        progress_file: Path,
        left: JsonLinesRejectedSamples,
        samples_per_second: float,
        report: Callable[[ResendProgress], None],
        new_writer: Callable[[SinkConfig], RemoteWriter] = RemoteWriter,
        step: int = 20_000,
    ) -> None:
        self._samples = samples
        self._progress = progress
        self._progress_file = progress_file
        self._still_refused = _StillRefused(left)
        self._report = report
        self._new_writer = new_writer
        self._step = max(1, min(step, round(samples_per_second * _SECONDS_IN_A_STEP)))
        # A larger batch would be sent at once, whatever the rate.
        batch = max(1, min(config.max_batch_size_in_samples or FIRST_BATCH_SIZE, int(samples_per_second)))
        self._config = replace(
            config,
            max_batch_size_in_samples=batch,
            max_buffered_samples=None,
            max_in_flight_requests=1,  # so that the series of a moment stay together
            sending_limits=SendingLimits(max_samples_per_second=samples_per_second),
            relabelling=Relabelling(),
            send_exemplars=True,
            send_native_histograms=True,
            tenant=None,
            max_sample_age_ms=None,
            max_sample_lead_ms=None,
            drop_out_of_order_samples=False,
            conflict_policy=ConflictPolicy.KEEP_FIRST,
            error_handling=SinkWriterErrorHandlingBehaviorConfiguration(),
            rejected_samples_handler=self._still_refused,
            best_effort=None,
            further_endpoints={},
        )

    def run(self) -> None:
        """
        Send the samples that have not been sent yet.

        :raises PrometheusSinkError: if the endpoint cannot be written to; the progress is kept.
        """
        left = islice(self._samples.by_time(), self._progress.done, None)
        try:
            for tenant, of_tenant in groupby(left, lambda sample: sample.tenant):
                self._still_refused.tenant = tenant
                writer = self._new_writer(replace(self._config, http_headers=self._headers(tenant)))
                try:
                    self._send(writer, of_tenant)
                finally:
                    writer.close()
        finally:
            self._still_refused.close()

    def _headers(self, tenant: Mapping[str, str]) -> dict[str, str | Secret]:
        """Return the headers for a tenant; its own headers replace others of the same name."""
        names = {name.lower() for name in tenant}
        others = {name: value for name, value in self._config.http_headers.items() if name.lower() not in names}
        return {**others, **tenant}

    def _send(self, writer: RemoteWriter, samples: Iterator[LateSample]) -> None:
        while step := list(islice(samples, self._step)):
            before = writer.ledger.samples_accepted
            for sample in step:
                writer.add(sample.record())
            writer.flush()
            self._progress.done += len(step)
            self._progress.accepted += writer.ledger.samples_accepted - before
            self._progress.refused.update(self._still_refused.take())
            self._progress.save(self._progress_file)
            self._report(self._progress)


class _StillRefused:
    """
    A handler that counts rejected samples by cause and writes them to files, which are on disk after a flush.

    :ivar tenant: the tenant headers of the samples being sent; the writer treats them like any other headers.
    """

    def __init__(self, left: JsonLinesRejectedSamples) -> None:
        self.tenant: Mapping[str, str] = {}
        self._left = left
        self._counts: Counter[str] = Counter()
        self.flush = left.flush

    def __call__(self, rejected: Sequence[RejectedSamples]) -> None:
        for each in rejected:
            self._counts[cause_of(each)] += each.count
        self._left([replace(each, tenant=self.tenant) for each in rejected])

    def take(self) -> Counter[str]:
        """Return the counts since the last call; nothing is in flight meanwhile."""
        counts, self._counts = self._counts, Counter()
        return counts

    def close(self) -> None:
        """Close the files. The next sample begins a new file."""
        self._left.close()


def cause_of(rejected: RejectedSamples) -> str:
    """Return why samples were refused, without the details that differ between responses."""
    status = "" if rejected.status is None else f" (HTTP {rejected.status})"
    message = rejected.message.lower()
    found = next((cause for cause in _CAUSES if cause in message), None)
    return f"{found or rejected.reason.value.replace('_', ' ')}{status}"


def progress_line(progress: ResendProgress, done_before: int, seconds: float) -> str:
    """
    Return the progress in words.

    :param done_before: how many samples were done when this run began.
    :param seconds: the seconds since then.
    """
    done = progress.done - done_before
    rate = done / seconds if seconds > 0 else 0.0
    left = timedelta(seconds=round((progress.samples - progress.done) / rate) if rate else 0)
    refused = f", {sum(progress.refused.values())} refused" if progress.refused else ""
    share = progress.done / progress.samples if progress.samples else 1.0
    return f"{progress.done} of {progress.samples} samples ({share:.0%}), {rate:.0f}/s{refused}, {left} left"
