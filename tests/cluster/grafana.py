"""A dashboard's file as Grafana interprets it: panels, variables, and the queries that it sends to Prometheus."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyflink_prometheus.testing import PrometheusServer

ROOT = Path(__file__).resolve().parent.parent.parent
DASHBOARDS = sorted((ROOT / "cluster" / "grafana" / "dashboards").glob("*.json"))
#: The time range that is shown, and its number of steps.
RANGE_S = 1800
MAX_DATA_POINTS = 900

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::(\w+))?\}|([A-Za-z_]\w*))")
_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), *(?P<label>\w+)\)")


@dataclass(frozen=True)
class Target:
    """One query of a panel, and how Grafana would send it."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    is_instant: bool
    step_s: int
    rate_interval_s: int

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.ref}: {self.expr}"

    def promql(self, variables: Mapping[str, str]) -> str:
        """Return the query with the values of variables, those of the dashboard and Grafana's own."""
        own = {
            "__interval": f"{self.step_s}s",
            "__rate_interval": f"{self.rate_interval_s}s",
            "__range": f"{RANGE_S}s",
        }
        return substitute(self.expr, {**variables, **own})


def load(path: Path) -> dict[str, Any]:
    """Load a dashboard."""
    dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels with data, including those in collapsed rows."""
    everything = [each for row in dashboard["panels"] for each in (row, *row.get("panels", ()))]
    return [each for each in everything if each["type"] not in ("row", "text")]


def targets(dashboard: Mapping[str, Any], scrape_interval_s: int) -> Iterator[Target]:
    """
    Yield all queries of a dashboard.

    :param scrape_interval_s: the interval in the settings of the data source.
    """
    for panel in panels(dashboard):
        least = seconds(panel["interval"]) if "interval" in panel else scrape_interval_s
        step = max(least, math.ceil(RANGE_S / MAX_DATA_POINTS))
        for target in panel["targets"]:
            yield Target(
                dashboard["title"],
                panel["title"],
                target["refId"],
                target["expr"],
                target.get("instant", False),
                step,
                max(step + least, 4 * least),
            )


def variables(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the variables whose values come from queries."""
    return [each for each in dashboard["templating"]["list"] if each["type"] == "query"]


def values_of(server: PrometheusServer, variable: Mapping[str, Any], chosen: Mapping[str, str]) -> list[str]:
    """Return the values of a variable with a ``label_values(selector, label)`` query."""
    query = _LABEL_VALUES.fullmatch(substitute(variable["query"]["query"], chosen))
    assert query, f"not understood: {variable['query']['query']}"
    return sorted({series[query["label"]] for series in server.series(query["selector"]) if query["label"] in series})


def everything(variable: Mapping[str, Any]) -> str:
    """Return the replacement for a variable with All selected."""
    return str(variable["allValue"])


def several(values: Sequence[str]) -> str:
    """Return the replacement for a variable with these values selected."""
    escaped = [re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", each.replace("\\", "\\\\\\\\")) for each in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def substitute(text: str, values: Mapping[str, str]) -> str:
    """
    Replace variables: $name, ${name} and ${name:regex}, which are equivalent for Prometheus's data source.

    $1, for example, is not a variable but part of PromQL.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        assert name in values, f"there is no variable {name}: {text}"
        assert found[2] in (None, "regex"), f"not understood: {found[0]}"
        return values[name]

    return _VARIABLE.sub(value, text)


def seconds(duration: str) -> int:
    """Return the seconds of a duration with a single unit."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def run(server: PrometheusServer, target: Target, chosen: Mapping[str, str], now: float) -> list[dict[str, Any]]:
    """Return the result of a query at a time or in the range before it, without series that show nothing."""
    query = {"query": target.promql(chosen)}
    if target.is_instant:
        found = ask(server, "/api/v1/query", time=repr(now), **query)["result"]
    else:
        begin, step = repr(now - RANGE_S), repr(target.step_s)
        found = ask(server, "/api/v1/query_range", start=begin, end=repr(now), step=step, **query)["result"]
    return [each for each in found if _shows_something(each)]


def ask(server: PrometheusServer, path: str, **parameters: str) -> Any:
    """Return the data of a response of Prometheus's HTTP API; invalid PromQL raises."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with _OPENER.open(f"{server.url}{path}{query}", timeout=30) as response:
        return json.load(response)["data"]


def selectors(server: PrometheusServer, promql: str) -> list[str]:
    """Return the selectors of series in a query, as Prometheus's own parser finds them."""
    return [
        f"{{{','.join(each['name'] + each['type'] + json.dumps(each['value']) for each in node['matchers'])}}}"
        for node in _selector_nodes(server, promql)
    ]


def metric_names(server: PrometheusServer, promql: str) -> set[str]:
    """Return the metrics in a query."""
    return {node["name"] for node in _selector_nodes(server, promql)}


def _selector_nodes(server: PrometheusServer, promql: str) -> Iterator[dict[str, Any]]:
    left = [ask(server, "/api/v1/parse_query", query=promql)]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            left += node.values()
            if node.get("type") in ("vectorSelector", "matrixSelector"):
                yield node


def _shows_something(series: Mapping[str, Any]) -> bool:
    """Return whether a series has a histogram or a finite number; divisions by zero have neither."""
    if "histogram" in series or series.get("histograms"):
        return True
    pairs = series["values"] if "values" in series else [series["value"]]
    return any(math.isfinite(float(value)) for _, value in pairs)
