"""
Print the paths of the other receivers for the integration tests; fetch missing ones into .cache/.

They are a Prometheus 2, a VictoriaMetrics and an InfluxDB 1, which support only Remote-Write 1.0, and the Prometheus 3
that runs as an agent. As in get_prometheus.py: the official release, or on Debian the distribution's package, unpacked
without being installed. InfluxDB comes only from Debian: later releases of version 1 respond differently.

    get_receivers.py [--unless-docker]     leaves out those that Docker can run

Exits with status 1, after printing the reasons, if one could not be fetched.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import download
from executable import ARCHITECTURE, SYSTEM, Executable
from get_prometheus import PROMETHEUS, prometheus

from pyflink_prometheus.testing.prometheus_server import PrometheusServer

OLD_PROMETHEUS_VERSION = "2.42.0"
VICTORIA_METRICS = "1.145.0"
VICTORIA_METRICS_RELEASES = os.environ.get(
    "VICTORIA_METRICS_RELEASES", "https://github.com/VictoriaMetrics/VictoriaMetrics/releases/download"
)


def victoria_metrics() -> Executable:
    """Return VictoriaMetrics; Debian's newest suites may have a later version, which also works."""
    archive = f"victoria-metrics-{SYSTEM}-{ARCHITECTURE}-v{VICTORIA_METRICS}"
    return Executable(
        name="victoria-metrics",
        target=Path(".cache/victoria-metrics/victoria-metrics"),
        release=f"{VICTORIA_METRICS_RELEASES}/v{VICTORIA_METRICS}",
        archive=f"{archive}.tar.gz",
        checksums=f"{archive}_checksums.txt",
        member="victoria-metrics-prod",
        package="victoria-metrics",
        suites=("forky", "sid"),
    )


def influxdb() -> Executable:
    """Return the InfluxDB 1.6 of Debian 12."""
    return Executable(
        name="influxdb",
        target=Path(".cache/influxdb/influxd"),
        package="influxdb",
        suites=("bookworm",),
        program="influxd",
    )


OLD_PROMETHEUS = prometheus(
    "old prometheus", OLD_PROMETHEUS_VERSION, Path(".cache/old-prometheus/prometheus"), ("bookworm",)
)
# tests/integration/conftest.py always starts these without Docker: as agents, the first two.
NATIVE_RECEIVERS = (PROMETHEUS, OLD_PROMETHEUS, influxdb())
# With Docker, it starts this image.
RECEIVERS = {f"victoriametrics/victoria-metrics:v{VICTORIA_METRICS}": victoria_metrics()}


def main() -> None:
    """Print the paths, without those that Docker makes unnecessary."""
    complete = True
    unless_docker = "--unless-docker" in sys.argv[1:]
    native = [
        receiver
        for image, receiver in RECEIVERS.items()
        if not unless_docker or PrometheusServer.default_kind(image) != "docker"
    ]
    for receiver in (*native, *NATIVE_RECEIVERS):
        try:
            print(receiver.find_or_fetch())
        except download.DownloadError as error:
            print(error, file=sys.stderr)
            complete = False
    sys.exit(not complete)


if __name__ == "__main__":
    main()
