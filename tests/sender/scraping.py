"""Scrape a page of metrics and write all of it by Remote-Write, repeatedly, as Prometheus would."""

from __future__ import annotations

import argparse
import logging
import re
import threading
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests
from exposition import OPEN_METRICS, Line, parse

from pyflink_prometheus import (
    STALE_MARKER,
    Metadata,
    PrometheusTimeSeries,
    RemoteWriteVersion,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.writer.writer import RemoteWriter

ACCEPT = f"{OPEN_METRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
SCRAPE_TIMEOUT_S = 10.0
VERSIONS = {"auto": RemoteWriteVersion.AUTO, "1": RemoteWriteVersion.V1, "2": RemoteWriteVersion.V2}
UP = Metadata("gauge", "Whether the last scrape was successful.")
_log = logging.getLogger("sender")


def parse_arguments(description: str) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scrape", required=True, metavar="URL", help="the page")
    parser.add_argument("--remote-write", required=True, metavar="URL", help="the receiver's URL")
    parser.add_argument("--interval", type=seconds, default="1s", help="such as 50ms, 1s or 2m (default: %(default)s)")
    parser.add_argument(
        "--remote-write-version", choices=VERSIONS, default="auto", help="protocol version (default: %(default)s)"
    )
    parser.add_argument("--job", default="test", help="the value of the label `job` (default: %(default)s)")
    return parser.parse_args()


def seconds(text: str) -> float:
    """Read a duration."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a duration such as 50ms, 1s or 2m, got {text!r}")
    return float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match[2]]


class ScrapingSender:
    """A scraper and a writer on one thread, until another thread stops it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._labels = {"job": args.job, "instance": urlsplit(args.scrape).netloc}
        self._fresh: dict[object, PrometheusTimeSeries] = {}  # the series of the last scrape that can become stale
        self._writer: RemoteWriter | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Scrape and write repeatedly."""
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._args.interval, time.monotonic())
            try:
                self._write(self._scrape())
            except Exception as error:  # a sender always continues; the receiver's text is part of the message
                if self._stopping.is_set():
                    return
                _log.error("%s", error)
                self._close()  # a failed writer stays failed; the next interval gets a new one

    def stop(self) -> None:
        """Abandon the current write, and return after a moment at most."""
        self._stopping.set()
        self._close()

    def _scrape(self) -> list[PrometheusTimeSeries]:
        """Return the records of one scrape: the page's samples, stale markers of ended series, and ``up``."""
        now_ms = time.time_ns() // 1_000_000
        lines: list[Line] = []
        up = 0.0
        try:
            response = requests.get(self._args.scrape, headers={"Accept": ACCEPT}, timeout=SCRAPE_TIMEOUT_S)
            response.raise_for_status()
            lines = parse(response.content.decode("utf-8"), response.headers.get("Content-Type", ""), now_ms)
            up = 1.0
        except (requests.RequestException, ValueError) as error:
            _log.error("scraping %s failed: %s", self._args.scrape, error)
        records = [record._replace(labels=self._with_target(dict(record.labels))) for record, _ in lines]
        before = self._fresh
        # A series with its own timestamps is never marked as stale: nobody knows when it ended.
        self._fresh = {identity(each): each for each, line in zip(records, lines) if not line.timed}
        gone = [before[key] for key in before.keys() - self._fresh.keys()]
        records += [each._replace(samples=((STALE_MARKER, now_ms),), exemplars=()) for each in gone]
        return [*records, PrometheusTimeSeries("up", self._labels, ((up, now_ms),), UP)]

    def _with_target(self, labels: dict[str, str]) -> dict[str, str]:
        """Add the target's labels; the page's own labels with the same names are kept under other names."""
        for name in self._labels.keys() & labels.keys():
            exported = f"exported_{name}"
            while exported in labels:
                exported = f"exported_{exported}"
            labels[exported] = labels.pop(name)
        return {**labels, **self._labels}

    def _write(self, records: Iterable[PrometheusTimeSeries]) -> None:
        writer = self._writer
        if writer is None:
            version = VERSIONS[self._args.remote_write_version]
            config = SinkConfig(prometheus_remote_write_url=self._args.remote_write, remote_write_version=version)
            writer = self._writer = RemoteWriter(config)
        for record in records:
            writer.add(record)
        writer.flush()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def identity(record: PrometheusTimeSeries) -> object:
    """Return the identity of a series."""
    return record.metric_name, frozenset(dict(record.labels).items())
