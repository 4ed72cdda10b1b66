"""
Write at a steady rate to a flaky receiver for minutes, and exit with 1 unless memory is flat after the warm-up.

    python benchmarks/soak.py --minutes 10 --rate 5000

The receiver runs in a separate process and responds with a seeded mixture of 204, 500, 503, 429, 400 and no response at
all. New series keep arriving and old ones end (series churn), so the cache of series is always full.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from measure import resident_mib

from pyflink_prometheus import RejectedSamples, RetryConfiguration
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.writer.writer import RemoteWriter

RESPONSES = [204] * 40 + [500, 503, 429, 400, None]
ALLOWED_GROWTH_MIB = 8.0


def serve_flakily(port: Connection, seed: int) -> None:
    """Respond to POSTs at random until the process is terminated."""
    rng = random.Random(seed)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = rng.choice(RESPONSES)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()


def main() -> None:
    """Run the soak test."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=5000, help="samples per second (default 5000)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=serve_flakily, args=(theirs, options.seed), daemon=True)
    receiver.start()
    rejected = [0]

    def count(handed: Sequence[RejectedSamples]) -> None:
        rejected[0] += sum(each.count for each in handed)

    writer = RemoteWriter(
        SinkConfig(
            prometheus_remote_write_url=f"http://127.0.0.1:{ours.recv()}/api/v1/write",
            max_in_flight_requests=4,
            max_cached_series=20_000,
            retry=RetryConfiguration(max_retry_delay_ms=200),
            rejected_samples_handler=count,
        )
    )
    began = time.monotonic()
    memory: list[tuple[float, float]] = []
    number = 0
    while (elapsed := time.monotonic() - began) < options.minutes * 60:
        for _ in range(options.rate // 10):
            labels = {"device": f"device-{number // 3 % 1_000_000}", "region": f"region-{number % 7}"}
            writer.add(("soak_value", labels, ((float(number), 1_700_000_000_000 + number),)))
            number += 1
        if number % options.rate == 0:
            writer.flush()
        if not memory or elapsed - memory[-1][0] >= 5:
            memory.append((elapsed, resident_mib()))
            print(f"{elapsed:6.0f} s  {memory[-1][1]:7.1f} MiB  {number} samples", flush=True)
        time.sleep(max(0.0, began + number / options.rate - time.monotonic()))
    writer.flush()
    ledger = writer.ledger
    writer.close()
    receiver.terminate()

    settled = [mib for elapsed, mib in memory if elapsed > options.minutes * 60 / 4]
    quarter = max(1, len(settled) // 4)
    growth = statistics.median(settled[-quarter:]) - statistics.median(settled[:quarter])
    print(
        f"in {ledger.samples_in} = accepted {ledger.samples_accepted} + rejected {rejected[0]}, "
        f"{ledger.requests_retried} retries; memory grew {growth:.1f} MiB after warm-up"
    )
    balanced = ledger.samples_in == ledger.samples_accepted + rejected[0] == number and ledger.samples_pending == 0
    if not balanced or growth > ALLOWED_GROWTH_MIB:
        raise SystemExit("FAILED: the ledger does not add up" if not balanced else "FAILED: memory grows")
    print("ok")


if __name__ == "__main__":
    main()
