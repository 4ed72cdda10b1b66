"""A savepoint may be resumed with another parallelism and with a new branch, and nothing is lost or done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flink_cluster import PATIENCE_SECONDS, wait_for
from local_job import JOBS
from test_operators import Resumed, received

from pyflink_prometheus.testing import Receiver

if TYPE_CHECKING:
    from flink_cluster import FlinkCluster

pytestmark = pytest.mark.once

COUNT = 20_000
PER_SECOND = 300.0  # slow, so that no run finishes before it is stopped

Found = dict[str, list[tuple[Any, int]]]


class Rescaled:
    """Run ``rescaled.py`` in three parts, with one subtask, two and three, the last two with a new branch."""

    def __init__(self, cluster: FlinkCluster) -> None:
        self._cluster = cluster
        with Receiver() as self._receiver:
            savepoint = self._run_until(700, "--parallelism=1")
            self.at_first_savepoint = len(self._received())
            savepoint = self._run_until(2_000, "--parallelism=2", "--more", savepoint=savepoint)
            job_id = self._submit(1e6, "--parallelism=3", "--more", savepoint=savepoint)
            cluster.wait_for_job(job_id, "FINISHED")
            self.samples = self._received()
            self.found = received(self._receiver)

    def of(self, metric_name: str) -> Found:
        """Return the received samples of a metric, by series."""
        return {series: each for series, each in self.found.items() if series.startswith(f"{metric_name}{{")}

    def _received(self) -> list[tuple[str, Any, int]]:
        """Return all samples in order of arrival."""
        return [sample for request in self._receiver.requests for sample in request.samples]

    def _run_until(self, samples: int, *arguments: str, savepoint: str | None = None) -> str:
        job_id = self._submit(PER_SECOND, *arguments, savepoint=savepoint)
        wait_for(
            lambda: sum(series.startswith("keyed{") for series, _, _ in self._received()) > samples,
            f"{samples} samples",
            PATIENCE_SECONDS,
        )
        return self._cluster.stop_with_savepoint(job_id)

    def _submit(self, per_second: float, *arguments: str, savepoint: str | None) -> str:
        resume = [] if savepoint is None else ["-s", savepoint]
        settings = [f"--url={self._receiver.url}", f"--count={COUNT}", f"--per-second={per_second}", *arguments]
        return self._cluster.run_job(
            JOBS / "rescaled.py", *settings, options=["-d", "-pyfs", str(JOBS), *resume]
        ).job_id


@pytest.fixture(scope="module")
def rescaled(flink_cluster: FlinkCluster) -> Rescaled:
    """Return the results of all runs."""
    return Rescaled(flink_cluster)


def sent() -> Found:
    """Return (value, timestamp) of all readings in order of time, by device."""
    made = Resumed(COUNT)
    found: Found = {}
    for number in range(COUNT):
        if number % 3 != 2 or number < COUNT // 2:
            value = 1_000_000.0 if number % 100 == 50 else float(number % 7)
            found.setdefault(f"d{number % 3}", []).append((value, made.START_MS + 1_000 * (number ^ 5)))
    return {device: sorted(samples, key=time_of) for device, samples in found.items()}


def time_of(sample: tuple[Any, int]) -> int:
    return sample[1]


@pytest.mark.parametrize("metric_name", ["keyed", "keyed_without_uid", "dealt_out", "batches", "batches_without_uid"])
def test_a_sink_loses_nothing_and_writes_nothing_twice(rescaled: Rescaled, metric_name: str) -> None:
    found = {series: sorted(samples, key=time_of) for series, samples in rescaled.of(metric_name).items()}
    assert found == {f'{metric_name}{{device="{device}"}}': samples for device, samples in sent().items()}


def test_a_branch_that_was_not_there_begins_where_the_savepoint_is(rescaled: Rescaled) -> None:
    everything = {(device, *sample) for device, samples in sent().items() for sample in samples}
    found = [(series[14:16], *sample) for series, samples in rescaled.of("added").items() for sample in samples]
    first = min(time for _, _, time in found) + 8_000  # the readings' disorder
    assert len(found) == len(set(found)) < len(everything) * 0.95
    assert {each for each in everything if each[2] >= first} <= set(found) <= everything


def test_references_that_came_before_the_savepoint_are_still_known(rescaled: Rescaled) -> None:
    later = [series for series, _, _ in rescaled.samples[rescaled.at_first_savepoint :] if "enriched" in series]
    assert later
    assert all('place="roof"' in series for series in later)
    assert sum(map(len, rescaled.of("enriched").values())) == sum(map(len, sent().values()))
