"""The job ``jobs/steady.py``: how to start it, and the samples that Prometheus must have at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from local_job import JOBS

if TYPE_CHECKING:
    from flink_cluster import FlinkCluster

    from pyflink_prometheus.testing import PrometheusServer
    from pyflink_prometheus.testing.prometheus_server import Samples


@dataclass(frozen=True)
class SteadyJob:
    """
    One stream of numbered samples.

    :param url: the URL of the receiver.
    :param metric_name: the metric of all samples.
    :param count: the number of samples.
    :param options: more options of ``steady.py``, without their dashes.
    """

    url: str
    metric_name: str
    count: int
    options: Mapping[str, object] = field(default_factory=dict)
    series: int = 20
    step_ms: int = 1
    start_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000 - 3_000_000)

    def arguments(self, per_second: float) -> list[str]:
        """Return the job file's arguments."""
        own = {name: getattr(self, name) for name in ("url", "metric_name", "count", "series", "step_ms", "start_ms")}
        settings = {**own, "per_second": per_second, **self.options}
        return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]

    @property
    def parallelism(self) -> int:
        """The number of the sinks' subtasks, and so of Python workers."""
        return int(str(self.options.get("parallelism", 2)))

    def with_options(self, **options: object) -> SteadyJob:
        """Return the same job with other options."""
        return replace(self, options={**self.options, **options})

    def submit(self, cluster: FlinkCluster, per_second: float, savepoint: str | None = None) -> str:
        """Start it on a cluster, from a savepoint or from the beginning, and return its id."""
        resume = [] if savepoint is None else ["-s", savepoint]
        options = ["-d", "-pyfs", str(JOBS), *resume]
        return cluster.run_job(JOBS / "steady.py", *self.arguments(per_second), options=options).job_id

    def made(self, count: int | None = None, metric_name: str | None = None) -> Samples:
        """
        Return all samples of the source, or the first of them, in the shape of ``PrometheusServer.samples``.

        :param metric_name: of a second metric.
        """
        expected: Samples = {}
        for number in range(self.count if count is None else count):
            labels = (("__name__", metric_name or self.metric_name), ("series", str(number % self.series)))
            expected.setdefault(labels, []).append((float(number), self.start_ms + self.step_ms * number))
        return expected

    def missing(self, prometheus: PrometheusServer, metric_name: str | None = None) -> list[int]:
        """Return the numbers of the samples that Prometheus does not have."""
        found = prometheus.samples(metric_name or self.metric_name)
        stored = {int(value) for samples in found.values() for value, _ in samples}
        return sorted(set(range(self.count)) - stored)


def stop_with_savepoint(cluster: FlinkCluster, job_id: str, *options: str) -> str:
    """Stop a job as ``flink stop -p`` does and return the savepoint's path."""
    stopped = cluster.flink("stop", "-p", str(cluster.folder / "savepoints"), *options, job_id)
    return stopped.output.partition("Savepoint completed. Path: ")[2].split()[0]
