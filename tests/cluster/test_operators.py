"""The operators in jobs: in process and thread mode, alone and in a chain, and across a savepoint."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from flink_cluster import PATIENCE_SECONDS, wait_for
from local_job import JOBS, run_job_file

from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.testing import Receiver

if TYPE_CHECKING:
    from pathlib import Path

    from flink_cluster import FlinkCluster

T = 1_700_000_000_000

Results = dict[str, list[Any]]


@pytest.fixture(scope="module", params=["process", pytest.param("thread", marks=pytest.mark.once)])
def results(request: pytest.FixtureRequest) -> Results:
    """Return the output of each operator, as printed by ``operators.py``."""
    job = run_job_file("operators.py", request.param)
    seen: Results = json.loads(job.stdout.splitlines()[-1])
    assert seen.pop("runs in Java's process") == [request.param == "thread"]
    return seen


@pytest.mark.parametrize("name", ["reorder", "reorder in one step"])
def test_reorder(results, name):
    assert results[name] == [
        ["a", 1_000, 1.0],
        ["b", 2_000, 20.0],
        ["a", 3_000, 3.0],
        ["a", 4_000, 4.0],
        ["a", 5_000, 5.0],
        ["b", 61_000, 40.0],
        ["a", 62_000, None],
        ["a", 64_000, 7.0],
    ]


def test_events_released_together_are_in_order_for_each_key(results):
    found = results["reorder together"]
    assert sorted(found, key=lambda event: event[1]) == results["reorder"]
    for device in "ab":
        assert [event for event in found if event[0] == device] == [
            event for event in results["reorder"] if event[0] == device
        ]


def test_late_events_are_in_the_side_output_and_what_came_in_time_is_not(results):
    first_late, _ = results["late"][0]
    behind = [[n, T - 60_000 + 1_000 * n] for n in range(2, 60)]
    # Events after the first two, but before their watermark, are on time.
    assert results["not late"] == [*behind[: first_late - 2], [0, T], [1, T + 1_000]]
    assert results["late"] == behind[first_late - 2 :]


def test_tumbling_windows_with_all_aggregates(results):
    found = {name: samples for name, samples in results["tumbling"] if samples[0][-1] == 60_000 and '"a"' in name}
    assert found == {
        'm_count_in_window{device="a"}': [[5, 60_000]],
        'm_sum_in_window{device="a"}': [[112.0, 60_000]],
        'm_min{device="a"}': [[1.0, 60_000]],
        'm_max{device="a"}': [[99.0, 60_000]],
        'm_mean{device="a"}': [[22.4, 60_000]],
        'm_last{device="a"}': [[5.0, 60_000]],
        'm_histogram_in_window{device="a"}': [[{"count": 5, "sum": 112.0, "is_gauge": True}, 60_000]],
        'm_quantile{device="a",quantile="0.5"}': [[4.0, 60_000]],
    }
    assert len(results["tumbling"]) == 4 * len(found)


def test_sliding_windows_by_two_dimensions(results):
    found = {(name, *sample) for name, samples in results["sliding"] for sample in samples}
    expected = {("0", "a"): {2: 1, 4: 103, 6: 111, 8: 9}, ("1", "a"): {66: 7, 68: 7}}
    expected |= {("0", "b"): {4: 20, 6: 20}, ("1", "b"): {62: 40, 64: 40}}
    assert found == {
        (f'm_sum_in_window{{device="{device}",minute="{minute}"}}', value, seconds * 1_000)
        for (minute, device), sums in expected.items()
        for seconds, value in sums.items()
    }


def test_an_event_between_two_sessions_makes_one_of_them(results):
    assert results["sessions"] == [["m_sum_in_window{}", [[7.0, 7_500]]], ["m_sum_in_window{}", [[8.0, 22_500]]]]


def test_counters(results):
    assert [samples for name, samples in results["cumulative"] if name == 'm_sum{device="a"}'] == [
        [[0.0, 0], [112.0, 60_000, 0]],
        [[119.0, 120_000, 0]],
    ]
    histograms = [samples for name, samples in results["cumulative"] if name == 'm_histogram{device="b"}']
    assert [sample[0]["count"] for samples in histograms for sample in samples] == [0, 1, 2]


def test_enrich_and_its_unmatched(results):
    assert [(row["device"], row["site"]) for row in results["enrich"]] == [("a", "roof")] * 7
    assert [row["device"] for row in results["enrich unmatched"]] == ["b", "b"]


def test_enrich_from_a_stream_also_of_updates_that_came_before(results):
    sites = {(row["device"], row["site"]) for row in results["enrich from stream"]}
    assert sites == {("a", "roof"), ("b", "?")}
    assert {(row["device"], row["site"]) for row in results["enrich after updates"]} == {("a", "attic")}


def test_filter_and_its_reasons(results):
    assert [event[1] for event in results["filter"]] == [1_000, 2_000, 3_000, 5_000, 6_000, 7_000]
    assert [(event[1], reason) for event, reason in results["filter rejected"]] == [
        (0, "threshold: 0 is below 1000"),
        (4_000, "speed: 520.6 km in 1 s is faster than 300 m/s"),
    ]


def test_stale_markers_and_their_series_keep_their_bits(results):
    ended = [(name, time) for name, samples in results["mark_stale"] for value, time in samples if value == "stale"]
    assert sorted(ended) == [
        ('reading{device="a"}', 35_000),
        ('reading{device="a"}', 94_000),
        ('reading{device="b"}', 32_000),
        ('reading{device="b"}', 91_000),
    ]


def test_in_a_chain_each_event_falls_into_the_window_of_its_own_time(results):
    of_a = [tuple(sample) for name, samples in results["chain"] for sample in samples if '"a"' in name]
    assert of_a == [(1.0, 2_000), (3.0, 4_000), (9.0, 6_000), ("stale", 16_000), (7.0, 66_000), ("stale", 76_000)]


class Resumed:
    """The expected output of ``resumed_operators.py``, computed from all its readings at once."""

    START_MS, WINDOW_MS, TIMEOUT_MS = 1_700_000_040_000, 60_000, 300_000

    def __init__(self, count: int) -> None:
        self.count = count
        self.windows: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.raw: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        for number in range(count):
            # Every 100th is a spike, and device 2 stops halfway.
            if number % 100 != 50 and (number % 3 != 2 or number < count // 2):
                time = self.START_MS + 1_000 * (number ^ 5)
                end = time - time % self.WINDOW_MS + self.WINDOW_MS
                self.windows[f"d{number % 3}"][end].append(float(number % 7))
                self.raw[f"d{number % 3}"].append((float(number % 7), time))

    def samples(self) -> dict[str, list[tuple[Any, int]]]:
        """Return (value, timestamp) by series, with ``stale`` for a stale marker."""
        found: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        for device, windows in self.windows.items():
            labels = f'device="{device}"'
            start = min(windows) - self.WINDOW_MS
            counted, summed = f"readings_count{{{labels}}}", f"readings_sum{{{labels}}}"
            found[counted], found[summed] = [(0.0, start)], [(0.0, start)]
            for end, values in sorted(windows.items()):
                found[counted].append((found[counted][-1][0] + len(values), end))
                found[summed].append((found[summed][-1][0] + sum(values), end))
                found[f"reading_mean{{{labels}}}"].append((statistics.fmean(values), end))
                found[f"reading_max{{{labels}}}"].append((max(values), end))
                found[f'reading_quantile{{{labels},quantile="0.5"}}'].append((statistics.median(values), end))
        # In tables, rows end, and not the results computed from them.
        tables = {f"table_{series}": list(samples) for series, samples in found.items()}
        for device, rows in self.raw.items():
            found[f'table_raw{{device="{device}"}}'] = sorted(rows, key=lambda sample: sample[1])
        for samples in found.values():
            samples.append(("stale", samples[-1][1] + self.TIMEOUT_MS))
        return {**found, **tables, **self._sited()}

    def _sited(self) -> dict[str, list[tuple[Any, int]]]:
        """Return the series that need the sites and the places that came with the first numbers."""
        found: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        for number in range(self.count // 2, self.count):
            if number % 3 != 1:
                series = f'sited{{device="d{number % 3}",site="site {number % 3}"}}'
                found[series].append((float(number), self.START_MS + 1_000 * number))
        for number in range(self.count):
            step, device = divmod(number, 3)
            if number <= 300 or (step + 2 * device) % 5 >= 2:
                series = f'table_sited{{device="d{device}",site="site {device}"}}'
                found[series].append((float(number), self.START_MS + 1_000 * number))
        return found


def received(receiver: Receiver) -> dict[str, list[tuple[Any, int]]]:
    found: dict[str, list[tuple[Any, int]]] = defaultdict(list)
    for request in receiver.requests:
        for series, value, timestamp in request.samples:
            found[series].append(("stale" if is_stale_marker(value) else value, timestamp))
    return found


def rounded(found: dict[str, list[tuple[Any, int]]]) -> dict[str, list[tuple[Any, int]]]:
    """Return values without the last digits, because floating-point sums depend on the order."""
    return {
        series: [(value if value == "stale" else round(value, 9), time) for value, time in samples]
        for series, samples in found.items()
    }


def test_all_goes_on_in_fewer_subtasks_from_a_savepoint_that_ends_a_bundle(flink_cluster: FlinkCluster) -> None:
    expected = Resumed(count=6_000)
    with Receiver() as receiver:

        def submit(per_second: float, bundle_ms: int, parallelism: int, *options: str) -> str:
            arguments = [f"--url={receiver.url}", f"--count={expected.count}", f"--per-second={per_second}"]
            job = JOBS / "resumed_operators.py"
            options = ("-d", "-pyfs", str(JOBS), *options)
            arguments += [f"--parallelism={parallelism}", f"--bundle-ms={bundle_ms}"]
            return flink_cluster.run_job(job, *arguments, options=options).job_id

        def is_under_way() -> bool:
            # No output and no watermark: everything that has been read is in the bundle that the savepoint ends.
            counts = flink_cluster.metrics(first, "Source__numbers.numRecordsOut")
            return max(float(count) for count in counts.values()) > 600

        first = submit(60, 600_000, 2)  # slow, so that it cannot finish before it is stopped
        wait_for(is_under_way, "600 readings", PATIENCE_SECONDS)
        savepoint = flink_cluster.stop_with_savepoint(first)
        before = received(receiver)
        assert sum(map(len, before.values())) < sum(map(len, expected.samples().values())) / 2
        # Timers of the bundle that the savepoint ended are lost, and registered again by the next event of their
        # device. Each device has such an event before the first watermark, which comes at the end of the first bundle.
        flink_cluster.wait_for_job(submit(1e6, 2_000, 1, "-s", savepoint), "FINISHED")

        found, made = rounded(received(receiver)), rounded(expected.samples())
        assert {series: [each for each in found[series] if each not in made.get(series, [])] for series in found} == {
            series: [] for series in made
        }
        # Only one that differs, because pytest prints everything that it compares.
        for series in sorted(found.keys() | made.keys()):
            assert found.get(series) == made.get(series), series


@pytest.mark.once
def test_no_event_is_lost_or_counted_twice_when_a_worker_is_killed(tmp_path: Path) -> None:
    job = run_job_file("killed_operators.py", str(tmp_path))
    assert (tmp_path / "killed").exists()
    expected = {}
    for device in range(3):
        numbers = range(device, 12_000, 3)
        expected[f'readings_count{{device="d{device}"}}'] = len(numbers)
        expected[f'readings_sum{{device="d{device}"}}'] = sum(numbers)
    assert json.loads(job.stdout.splitlines()[-1]) == expected
