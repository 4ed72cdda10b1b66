"""
Print the path of a Prometheus 3 executable; fetch one into .cache/prometheus if there is none.

In this order: PROMETHEUS_BINARY, the `prometheus` on PATH if it is version 3, one fetched before, the official release,
and on Debian the distribution's package, unpacked without being installed.

    get_prometheus.py [--unless-docker]     prints nothing and fetches nothing if Docker can run Prometheus
    get_prometheus.py --promtool            the same for promtool, which checks rules; PROMTOOL overrides it
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import download
from executable import ARCHITECTURE, SYSTEM, Executable

from pyflink_prometheus.testing.prometheus_server import PrometheusServer, PrometheusServerError, find_binary

RELEASES = os.environ.get("PROMETHEUS_RELEASES", "https://github.com/prometheus/prometheus/releases/download")


def prometheus(
    name: str, version: str, target: Path, suites: tuple[str, ...], program: str = "prometheus"
) -> Executable:
    """Return a program of a version of Prometheus, with the Debian suites that have it, older ones first."""
    folder = f"prometheus-{version}.{SYSTEM}-{ARCHITECTURE}"
    return Executable(
        name=name,
        target=target,
        release=f"{RELEASES}/v{version}",
        archive=f"{folder}.tar.gz",
        checksums="sha256sums.txt",
        member=f"{folder}/{program}",
        package=program,
        suites=suites,
    )


PROMETHEUS = prometheus("prometheus", "3.5.3", Path(".cache/prometheus/prometheus"), ("forky", "sid"))
PROMTOOL = prometheus("promtool", "3.5.3", Path(".cache/prometheus/promtool"), ("forky", "sid"), "promtool")


def find_or_fetch() -> Path:
    """Return an executable, and fetch it first if necessary."""
    problems = []
    for fetch in (None, PROMETHEUS.fetch_release, PROMETHEUS.fetch_debian_package):
        try:
            if fetch is not None:
                fetch()
            return find_binary()
        except (PrometheusServerError, download.DownloadError) as error:
            problems.append(f"  {error}")
    advice = "Put a `prometheus` of version 3 on PATH, or start Docker."
    sys.exit("\n".join(["No Prometheus 3 found, and none could be fetched:", *problems, advice]))


def find_or_fetch_promtool() -> Path:
    """Return the promtool in PROMTOOL, else the one of the Prometheus version above."""
    named = os.environ.get("PROMTOOL")
    try:
        return Path(named) if named else PROMTOOL.find_or_fetch()
    except download.DownloadError as error:
        sys.exit(f"{error}\nSet PROMTOOL to a promtool of version 3.")


def main() -> None:
    """Print the path, unless Docker makes a native executable unnecessary."""
    if "--promtool" in sys.argv[1:]:
        print(find_or_fetch_promtool())
        return
    if "--unless-docker" not in sys.argv[1:] or PrometheusServer.default_kind() != "docker":
        print(find_or_fetch())


if __name__ == "__main__":
    main()
