"""The job ``jobs/steady.py``: how to start it, and the samples that Prometheus must have at the end."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flink_cluster import PATIENCE_SECONDS, FlinkClusterError
from local_job import JOBS

if TYPE_CHECKING:
    from types import TracebackType

    from flink_cluster import FlinkCluster

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
        """The number of the sinks' subtasks, and therefore of Python workers."""
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

    def missing(self, found: Samples) -> list[int]:
        """Return the numbers of the samples that are not among those of a metric."""
        stored = {int(value) for samples in found.values() for value, _ in samples}
        return sorted(set(range(self.count)) - stored)


class SteadyClient:
    """
    A process that submits jobs to a cluster, far faster than ``flink run``. Use as a context manager.

    :param cluster: the cluster, which need not run yet.
    """

    def __init__(self, cluster: FlinkCluster) -> None:
        self._process = cluster.start_client(JOBS / "steady_client.py")

    def __enter__(self) -> SteadyClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # its JVM ends when its standard input does
        self._process.communicate()

    def submit(self, job: SteadyJob, per_second: float, savepoint: str | None = None) -> str:
        """Start a job, from a savepoint or from the beginning, and return its id."""
        requests, responses = self._process.stdin, self._process.stdout
        if requests is None or responses is None:
            raise ValueError("start the client with pipes")
        print(json.dumps({"arguments": job.arguments(per_second), "savepoint": savepoint}), file=requests, flush=True)
        if not select.select([responses], [], [], PATIENCE_SECONDS)[0]:
            raise FlinkClusterError(f"waited {PATIENCE_SECONDS:.0f} s for a job to be submitted")
        response = json.loads(responses.readline() or '{"error": "the client has ended"}')
        if "error" in response:
            raise FlinkClusterError(f"no job was submitted: {response['error']}")
        return str(response["job_id"])
