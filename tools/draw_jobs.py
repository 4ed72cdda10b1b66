"""
Run the example jobs against a Prometheus, draw the pictures of docs/jobs.md, and measure its numbers.

    draw_jobs.py                    runs the jobs and draws all pictures, in a quarter of an hour
    draw_jobs.py reorder filter     only these pictures
    draw_jobs.py windows            measures instead: windows (a quarter of an hour), bound or lateness
    draw_jobs.py --again            queries and draws again, from the data of the last run

Every point of a picture comes from Prometheus, none from the recording. The jobs read parts of the recording and keep
its times, so the axes show the time of day of 7 October 2021.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "jobs"))

import get_prometheus
import get_recording
import job_pictures as pictures
from mobile_network import MobileNetwork

from pyflink_prometheus.testing import PrometheusServer, PrometheusServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from job_pictures import Sample, Series

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(".cache/pictures")
TARGET = ROOT / "docs" / "pictures"
ALTITUDE = "flight_altitude_feet"


@dataclass(frozen=True)
class Run:
    """
    One run of a job, with its input and its Prometheus.

    :param name: the name of the run and of the folder with its data.
    :param job: the job's file in ``jobs/``.
    :param minutes: the first and the last minute of the recording.
    :param aircraft: only these icao24 addresses; empty for all.
    :param options: the job's options.
    :param window: Prometheus's ``out_of_order_time_window``.
    """

    name: str
    job: str
    minutes: tuple[int, int] = (0, 180)
    aircraft: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    window: str | None = None

    @property
    def part(self) -> Path:
        """The file with the part of the recording that the job reads."""
        return FOLDER / self.name / "part.jsonl"

    @property
    def times(self) -> tuple[int, int]:
        """The timestamps of the first and the last row of that part."""
        lines = self.part.read_bytes().splitlines()
        return json.loads(lines[0])["timestamp"], json.loads(lines[-1])["timestamp"]


# In real time, late events are in a later request than the events that overtook them. At higher speed, more of them are
# in the same request, which the sink sorts.
LIVE, FASTER = ("--speed=1",), ("--speed=5",)
SOME_MINUTES, HALF_AN_HOUR = (12, 18), (115, 150)
# One with spikes, one whose tracker reports impossible altitudes for minutes, and one with possible wrong ones. All
# within an hour, because at full speed the branches of a job may be that far apart (see "bound").
SPIKED, SPIKED_MINUTES = ("489225", "3aabfc", "3944f5"), (39, 98)
# Few aircraft, so that three hours take half a minute.
FEW = ("3aabfc", "3999e4", "398567", "3944ee")
TOO_LONG = ("--max-delay=5400",)
RUNS = {
    run.name: run
    for run in (
        Run("reorder", "reorder.py", SOME_MINUTES, options=LIVE),
        Run("speed-5", "reorder.py", SOME_MINUTES, options=FASTER),
        Run("window-1m", "reorder.py", SOME_MINUTES, options=FASTER, window="1m"),
        Run("window-2m", "reorder.py", SOME_MINUTES, options=FASTER, window="2m"),
        Run("fast", "reorder.py", SOME_MINUTES),
        Run("ahead", "reorder.py", aircraft=FEW, options=TOO_LONG),
        Run("ahead-window-4h", "reorder.py", aircraft=FEW, options=TOO_LONG, window="4h"),
        Run("filter", "filter.py", SPIKED_MINUTES, SPIKED),
        Run("enrich", "enrich.py", HALF_AN_HOUR),
        Run("aggregate", "aggregate.py", HALF_AN_HOUR, options=("--native-histograms",)),
        Run("pipeline", "pipeline.py", HALF_AN_HOUR),
    )
}


def main() -> None:
    """Run the jobs for the chosen pictures and measurements, and draw them."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip().partition("\n")[0],
    )
    parser.add_argument("what", nargs="*", help=f"some of {', '.join(DRAWN)}; default: {', '.join(PICTURES)}")
    parser.add_argument("--again", action="store_true", help="use the data of the last run, without running the jobs")
    args = parser.parse_args()
    unknown = set(args.what) - set(DRAWN)
    if unknown:
        parser.error(f"expected some of {', '.join(DRAWN)}, got {', '.join(sorted(unknown))}")
    chosen = args.what or PICTURES
    try:
        if not args.again:
            for name in dict.fromkeys(run for each in chosen for run in DRAWN[each][0]):
                run_job(RUNS[name])
        for name in chosen:
            runs, draw = DRAWN[name]
            draw(*(RUNS[run] for run in runs))
    except PrometheusServerError as error:
        sys.exit(f"pictures: {error}")


def run_job(run: Run) -> None:
    """Run a job as a user would, to its end, against an empty Prometheus that keeps its data."""
    shutil.rmtree(FOLDER / run.name, ignore_errors=True)
    (FOLDER / run.name).mkdir(parents=True)
    rows = cut(run)
    with started(run) as prometheus:
        command = [
            sys.executable,
            str(ROOT / "jobs" / run.job),
            f"--recording={run.part}",
            f"--remote-write-url={prometheus.remote_write_url}",
            f"--end-at={run.times[1]}",
            *run.options,
        ]
        log_path = FOLDER / run.name / "job.log"
        began = time.monotonic()
        with log_path.open("wb") as log:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
            job = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path})
            try:
                lags = watched(job, prometheus, run.times[1]) if run.name == "reorder" else []
                job.wait()
            finally:
                if job.poll() is None:
                    job.terminate()
                    job.wait()
        if job.returncode != 0:
            sys.exit(f"jobs/{run.job} failed; see {log_path}")
        print(f"{run.name}: {run.job} {' '.join(run.options)} took {time.monotonic() - began:.0f} s for {rows:,} rows")
        if lags:
            lags.sort()
            print(
                f"  reordered lags delivered by {lags[0]:.0f} to {lags[-1]:.0f} s, median {lags[len(lags) // 2]:.0f} s"
            )


def watched(job: subprocess.Popen[bytes], prometheus: PrometheusServer, end_ms: int) -> list[float]:
    """
    Return by how many seconds of event time the reordered series lag the others, sampled while the job runs.

    :param end_ms: the time of the last event, after which the reordered series catch up.
    """
    found = []
    while job.poll() is None:
        time.sleep(3)
        newest = [newest_ms(prometheus, f'{ALTITUDE}{{step="{step}"}}') for step in ("delivered", "reordered")]
        if newest[1] and newest[0] < end_ms:
            found.append((newest[0] - newest[1]) / 1000)
    return found


def newest_ms(prometheus: PrometheusServer, selector: str) -> int:
    """Return the timestamp of the newest sample, 0 if there is none."""
    return max((samples[-1][1] for samples in prometheus.samples(selector).values()), default=0)


def cut(run: Run) -> int:
    """Write the part of the recording for a run, and return its number of rows."""
    first = None
    begin, end = run.minutes
    rows = 0
    with get_recording.PREPARED.open() as whole, run.part.open("w") as part:
        for line in whole:
            row = json.loads(line)
            first = row["timestamp"] if first is None else first
            minute = (row["timestamp"] - first) / 60_000
            if begin <= minute < end and (not run.aircraft or row["icao24"] in run.aircraft):
                part.write(line)
                rows += 1
    return rows


@contextmanager
def started(run: Run) -> Iterator[PrometheusServer]:
    """Start the Prometheus of a run, with the data of the run if it has been run."""
    with PrometheusServer.start(
        "native",
        binary=get_prometheus.find_or_fetch(),
        out_of_order_time_window=run.window,
        data_dir=FOLDER / run.name / "data",
        extra_args=["--enable-feature=native-histograms"],
    ) as prometheus:
        yield prometheus


def range_query(prometheus: PrometheusServer, promql: str, between: tuple[int, int], *, step_s: int = 15) -> Series:
    """
    Return the result of a range query, as for a chart in Grafana.

    :return: (value, time in ms) pairs by labels.
    """
    begin, end = between
    result = prometheus.query(f"({promql})[{(end - begin) // 1000}s:{step_s}s]", time=end / 1000)
    return {
        tuple(sorted(each["metric"].items())): [(float(value), round(at * 1000)) for at, value in each["values"]]
        for each in result
    }


def draw_reorder(run: Run) -> None:
    """Draw the flight with the greatest share of rejected samples, among flights of at least two minutes."""
    with started(run) as prometheus:
        found = prometheus.samples(ALTITUDE)
    steps = {
        step: {dict(labels)["callsign"]: samples for labels, samples in found.items() if ("step", step) in labels}
        for step in ("delivered", "reordered")
    }
    counts = {step: sum(map(len, of.values())) for step, of in steps.items()}
    print(f"reorder: stored of delivered {counts['delivered']:,}, of reordered {counts['reordered']:,}")
    flight = min(
        (each for each, samples in steps["reordered"].items() if len(samples) >= 120),
        key=lambda each: len(steps["delivered"].get(each, ())) / len(steps["reordered"][each]),
    )
    pictures.reorder(
        flight, steps["delivered"].get(flight, []), steps["reordered"][flight], counts, TARGET / "reorder.png"
    )


def counts_of_steps(prometheus: PrometheusServer) -> list[int]:
    """Return the numbers of altitudes stored as delivered and reordered."""
    return [prometheus.count(f'{ALTITUDE}{{step="{step}"}}') for step in ("delivered", "reordered")]


def measure_stored(*runs: Run) -> None:
    """Print how many samples Prometheus stores as delivered and reordered."""
    for run in runs:
        with started(run) as prometheus:
            delivered, reordered = counts_of_steps(prometheus)
        print(
            f"window {run.window or 0}, {' '.join(run.options) or 'as fast as possible'}: "
            f"{delivered:,} stored as delivered, {reordered:,} reordered"
        )


def measure_lateness() -> None:
    """Print the quantiles of the lateness of events, compared with the newest event so far."""
    rows = [json.loads(line) for line in get_recording.PREPARED.open()]
    sent = [(row["icao24"], row["timestamp"] - rows[0]["timestamp"]) for row in rows]
    newest = 0
    lateness = []
    for _, which in MobileNetwork().deliveries(sent):
        newest = max(newest, sent[which][1])
        lateness.append((newest - sent[which][1]) / 1000)
    lateness.sort()
    print(f"lateness of {len(lateness):,} events:")
    for share in (0.5, 0.9, 0.95, 0.98, 0.99, 1):
        print(f"  {share:.0%} at most {lateness[int(share * len(lateness)) - 1]:.0f} s")


def draw_filter(run: Run) -> None:
    """Draw flights with and without spikes."""
    with started(run) as prometheus:
        found = {
            step: prometheus.samples(f'{ALTITUDE}{{step="{step}"}}') for step in ("reordered", "filtered", "rejected")
        }
    by_aircraft = {
        step: {dict(labels)["icao24"]: samples for labels, samples in series.items()} for step, series in found.items()
    }
    for step, of in by_aircraft.items():
        values = [value for samples in of.values() for value, _ in samples]
        print(f"filter: {step} {len(values):,} altitudes, highest {max(values):,.0f} feet")
    callsigns = {dict(labels)["icao24"]: dict(labels)["callsign"] for labels in found["reordered"]}
    pictures.filter_altitudes(
        [
            (
                callsigns[each],
                by_aircraft["reordered"][each],
                by_aircraft["filtered"][each],
                by_aircraft["rejected"][each],
            )
            for each in SPIKED
        ],
        TARGET / "filter.png",
    )


HEARD = f"count_over_time({ALTITUDE}[1m])"


def draw_enrich(run: Run) -> None:
    """Draw the aircraft in the air, in total and by country."""
    with started(run) as prometheus:
        total = range_query(prometheus, f"count({HEARD})", run.times)
        by_country = range_query(prometheus, f"count by (country) ({HEARD})", run.times)
    pictures.enrich(total, by_country, TARGET / "enrich.png")


def draw_aggregate(run: Run) -> None:
    """Draw all altitudes of an operator, and their quantiles."""
    with started(run) as prometheus:
        raw = prometheus.samples(f'{ALTITUDE}{{callsign=~"AFR.*"}}')
        quantiles = prometheus.samples(f'{ALTITUDE}_quantile{{operator="Air France"}}')
        counts = (
            prometheus.count(ALTITUDE),
            prometheus.count(f"{ALTITUDE}_quantile"),
            len(prometheus.series(ALTITUDE)),
            len(prometheus.series(f"{ALTITUDE}_quantile")),
        )
    print(f"aggregate: {counts[0]:,} samples in {counts[2]} series, ", end="")
    print(f"their quantiles {counts[1]:,} samples in {counts[3]} series")
    pictures.aggregate("Air France", raw, quantiles, TARGET / "aggregate.png")


def draw_mark_stale(without: Run, with_markers: Run) -> None:
    """Draw the number of aircraft in Prometheus with and without stale markers, and the end of one flight."""
    with started(without) as prometheus:
        flight, last = lowest_end(prometheus, without)
        flight_only = f'{ALTITUDE}{{callsign="{flight}"}}'
        near = (last - 600_000, last + 360_000)
        ghost = range_query(prometheus, flight_only, near, step_s=1)
        ghosts = range_query(prometheus, f"count({ALTITUDE})", without.times)
    with started(with_markers) as prometheus:
        ended = range_query(prometheus, flight_only, near, step_s=1)
        counted = range_query(prometheus, f"count({ALTITUDE})", with_markers.times)
        heard = range_query(prometheus, f"count({HEARD})", with_markers.times)
    means = [sum(value for value, _ in only(each)[20:]) / len(only(each)[20:]) for each in (ghosts, counted, heard)]
    print(f"mark_stale: {means[0]:.1f} aircraft without markers, {means[1]:.1f} with, {means[2]:.1f} heard, on average")
    counts = (only(ghosts), only(counted))
    pictures.mark_stale(flight, last, (only(ghost), only(ended)), counts, only(heard), TARGET / "mark_stale.png")


def only(series: Series) -> list[Sample]:
    """Return the samples of the only series."""
    (samples,) = series.values()
    return samples


def lowest_end(prometheus: PrometheusServer, run: Run) -> tuple[str, int]:
    """Return the flight with the lowest last altitude among those that ended early, and the time of its end."""
    begin, end = run.times
    ends = [
        (samples[-1][0], dict(labels)["callsign"], samples[-1][1])
        for labels, samples in prometheus.samples(ALTITUDE).items()
        if begin + 600_000 < samples[-1][1] < end - 600_000
    ]
    return min(ends)[1:]


#: The runs and the function for each picture or measurement.
DRAWN: dict[str, tuple[tuple[str, ...], Callable[..., None]]] = {
    "reorder": (("reorder",), draw_reorder),
    "filter": (("filter",), draw_filter),
    "enrich": (("enrich",), draw_enrich),
    "aggregate": (("aggregate",), draw_aggregate),
    "mark_stale": (("enrich", "pipeline"), draw_mark_stale),
    "windows": (("fast", "speed-5", "reorder", "window-1m", "window-2m"), measure_stored),
    "bound": (("ahead", "ahead-window-4h"), measure_stored),
    "lateness": ((), measure_lateness),
}
PICTURES = ("reorder", "filter", "enrich", "aggregate", "mark_stale")


if __name__ == "__main__":
    main()
