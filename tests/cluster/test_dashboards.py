"""Every panel of Grafana's dashboards has data, with a Prometheus to which the example job writes."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import fetched
import grafana
import pytest
from flink_cluster import FlinkCluster, free_ports, wait_for
from grafana import DASHBOARDS, ROOT

from pyflink_prometheus.testing import PrometheusServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grafana import Target

T = TypeVar("T")

# Longer than for other tests: the first one waits for a cluster and for the samples of two jobs.
pytestmark = [pytest.mark.once, pytest.mark.timeout(3000)]

RECORDING = ROOT / ".cache" / "recording" / "flights.jsonl"
JOBS = ROOT / "jobs"
RULES = sorted((ROOT / "cluster" / "rules").glob("*.yml"))
SCRAPE_INTERVAL_S = 2
#: About nine minutes of the recording; the watermark waits for two, and windows for one.
ROWS = 10_000
#: Of the aircraft, one in this many, so that a busy machine keeps up with them as well.
ONE_AIRCRAFT_IN = 3
#: The pipeline catches up with the present first, for half a minute, or for longer on a busy machine.
PATIENCE_S = 1200
#: On a busy machine a scrape sometimes takes too long, and there is no data until the next one.
NEXT_SCRAPES_S = 120
PORTS = 20

by_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Watched:
    """Grafana's queries to the Prometheus that monitors a cluster and receives the samples of its jobs."""

    prometheus: PrometheusServer

    def missing(self, path: Path, *, all_chosen: bool) -> list[Target]:
        """Return the queries of a dashboard without results, with All or with each value selected."""
        dashboard = grafana.load(path)
        chosen: dict[str, str] = {}
        for variable in grafana.variables(dashboard):
            values = grafana.values_of(self.prometheus, variable, chosen)
            name = variable["name"]
            # A variable without values gets a value that matches nothing.
            one_by_one = grafana.several(values) if values else "nothing"
            chosen[name] = grafana.everything(variable) if all_chosen else one_by_one
        return self.without_result(list(grafana.targets(dashboard, SCRAPE_INTERVAL_S)), chosen)

    def without_result(self, targets: list[Target], chosen: dict[str, str]) -> list[Target]:
        """Return the queries without results."""
        now = time.time()
        return [each for each in targets if not grafana.run(self.prometheus, each, chosen, now)]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Yield a monitored cluster that runs the pipeline, live, and a job that causes all other events."""
    binary = fetched.prometheus()
    folder = tmp_path_factory.mktemp("watched")
    (port,) = free_ports(1)
    conf = {
        "metrics.reporters": "prom",
        "metrics.reporter.prom.factory.class": "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
        "metrics.reporter.prom.port": f"{port}-{port + PORTS}",
        "execution.checkpointing.interval": "2 s",
    }
    part = folder / "recording.jsonl"
    with RECORDING.open() as source, part.open("w") as out:
        rows = islice(source, ROWS)
        out.writelines(row for row in rows if int(json.loads(row)["icao24"], 16) % ONE_AIRCRAFT_IN == 0)
    with FlinkCluster(folder / "flink", slots=2, conf=conf) as cluster:
        ports = wait_for(lambda: reporters(cluster), "reporters of metrics", PATIENCE_S)
        scraped = {"job_name": "flink", "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in ports]}]}
        config = {
            "global": {"scrape_interval": f"{SCRAPE_INTERVAL_S}s", "evaluation_interval": f"{SCRAPE_INTERVAL_S}s"},
            "rule_files": [str(each) for each in RULES],
            "scrape_configs": [scraped],
        }
        features = ["--enable-feature=native-histograms"]
        with PrometheusServer.start(
            "native", binary=binary, config=json.dumps(config), extra_args=features
        ) as prometheus:
            url = prometheus.remote_write_url
            cluster.run_job(
                JOBS / "pipeline.py",
                *(f"--recording={part}", f"--remote-write-url={url}", "--speed=120", "--repeat=0"),
                "--native-histograms",
                options=("-d", "-pyfs", str(JOBS)),
            )
            troubled = Path(__file__).parent / "jobs" / "troubled.py"
            cluster.run_job(troubled, url, options=("-d", "-pyfs", str(troubled.parent)))
            found = Watched(prometheus)
            # The tests report data that is not there in time.
            for path in DASHBOARDS:
                lasting(partial(found.missing, path, all_chosen=True), PATIENCE_S)
            yield found


def lasting(problems: Callable[[], list[T]], patience_s: float = NEXT_SCRAPES_S) -> list[T]:
    """Return the problems that remain after some time, or nothing as soon as there are none."""
    deadline = time.monotonic() + patience_s
    while (found := problems()) and time.monotonic() < deadline:
        time.sleep(1)
    return found


def reporters(cluster: FlinkCluster) -> list[str]:
    """Return the ports of both processes' reporters, from their logs; empty until both are known."""
    found = re.findall(r"Started PrometheusReporter HTTP server on port (\d+)", cluster.logs())
    return sorted(set(found)) if len(set(found)) == 2 else []


def test_there_are_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == ["flights", "sink"]


@by_dashboard
def test_each_panel_says_what_it_shows(path: Path) -> None:
    dashboard = grafana.load(path)

    for panel in grafana.panels(dashboard):
        what = f"{panel['title']} of {path.name}"
        assert panel["targets"], f"{what} has no query"
        assert panel["description"].endswith("."), f"{what} has no description"
        assert panel["fieldConfig"]["defaults"]["unit"], f"{what} has no unit"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs), f"{what} has two queries with one name"


@by_dashboard
def test_panels_have_ids_and_places_of_their_own(path: Path) -> None:
    dashboard = grafana.load(path)
    everything = [each for row in dashboard["panels"] for each in (row, *row.get("panels", ()))]

    ids = [each["id"] for each in everything]
    assert len(set(ids)) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in everything:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} overlaps {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_dashboards_have_ids_of_their_own() -> None:
    assert len({grafana.load(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS)


@by_dashboard
def test_all_come_from_the_chosen_data_source(path: Path) -> None:
    dashboard = grafana.load(path)
    (source,) = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]

    assert source["query"] == "prometheus"
    for each in (*grafana.panels(dashboard), *grafana.variables(dashboard)):
        assert each["datasource"] == {"type": "prometheus", "uid": f"${{{source['name']}}}"}


@by_dashboard
def test_what_a_panel_renames_is_there(path: Path) -> None:
    for panel in grafana.panels(grafana.load(path)):
        for step in panel.get("transformations", ()):
            columns = {"Time", *(f"Value #{target['refId']}" for target in panel["targets"])}
            assert {*step["options"].get("renameByName", ()), *step["options"].get("excludeByName", ())} <= columns


@pytest.mark.parametrize("all_chosen", [True, False], ids=["All", "each"])
@by_dashboard
def test_each_query_finds_something(watched: Watched, path: Path, all_chosen: bool) -> None:
    missing = lasting(partial(watched.missing, path, all_chosen=all_chosen))

    assert not missing, "no data for\n" + "\n".join(map(str, missing))


@by_dashboard
def test_each_variable_offers_something(watched: Watched, path: Path) -> None:
    chosen: dict[str, str] = {}
    for variable in grafana.variables(grafana.load(path)):
        assert grafana.values_of(watched.prometheus, variable, chosen), variable["name"]
        chosen[variable["name"]] = grafana.everything(variable)


@by_dashboard
def test_each_misspelt_metric_is_noticed(watched: Watched, path: Path) -> None:
    dashboard = grafana.load(path)
    chosen = {each["name"]: grafana.everything(each) for each in grafana.variables(dashboard)}
    for target in grafana.targets(dashboard, SCRAPE_INTERVAL_S):
        if " or " in target.expr:  # defines itself what is shown without data
            continue
        for name in grafana.metric_names(watched.prometheus, target.promql(chosen)):
            misspelt = replace(target, expr=re.sub(rf"\b{name}\b", f"{name}x", target.expr))
            assert watched.without_result([misspelt], chosen) == [misspelt]


def test_a_position_has_both_coordinates(watched: Watched) -> None:
    """Grafana's map joins results with the same labels into one row."""
    (positions,) = [each for each in grafana.panels(grafana.load(DASHBOARDS[0])) if each["type"] == "geomap"]
    names = positions["transformations"][-1]["options"]["renameByName"]
    targets = list(grafana.targets({"title": "", "panels": [positions]}, SCRAPE_INTERVAL_S))

    def incomplete() -> list[str]:
        now = time.time()
        found = {}
        for target in targets:
            rows = grafana.run(watched.prometheus, target, {"operator": ".*", "callsign": ".*"}, now)
            found[names[f"Value #{target.ref}"]] = {tuple(sorted(row["metric"].items())) for row in rows}
        both = found["latitude"] & found["longitude"]
        without = [f"{each} lacks a coordinate" for each in found["latitude"] ^ found["longitude"]]
        return without if both & found["altitude"] & found["track"] else ["there is no position with an altitude"]

    # The job keeps writing between two queries, so an aircraft that comes or goes may briefly have only one coordinate.
    assert not lasting(incomplete)


def test_all_rules_are_evaluated_on_what_is_there(watched: Watched) -> None:
    groups = grafana.ask(watched.prometheus, "/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    assert {Path(group["file"]).name for group in groups} == {each.name for each in RULES}
    assert all(rule["health"] == "ok" for rule in rules), rules
    # An alert on a metric that does not exist would never fire.
    selectors = {each for rule in rules for each in grafana.selectors(watched.prometheus, rule["query"])}
    assert not lasting(lambda: [each for each in selectors if not watched.prometheus.query(each)])


def test_faults_are_counted_where_the_dashboard_looks(watched: Watched) -> None:
    prefix = "flink_taskmanager_job_task_operator_Prometheus"
    faults = ("numLateEvents", "numEventsReleasedEarly", "numSamplesNonRetryableDropped", "numSamplesInvalidDropped")

    assert not lasting(
        lambda: [each for each in faults if not watched.prometheus.query(f'{prefix}_{each}{{job_name="troubled"}} > 0')]
    )
