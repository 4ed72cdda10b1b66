"""
Random responses, of any shape and speed, to a complete writer.

They check that the writer always finishes in time, counts every sample, and keeps secrets hidden.
"""

from __future__ import annotations

import base64
import contextlib
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Mapping
from typing import Any

from doors import RowWriter
from shapes import T, histogram
from told import Rejections
from watched import Case

from pyflink_prometheus import (
    BasicAuth,
    BearerAuth,
    ConflictPolicy,
    Exemplar,
    OnErrorBehavior,
    PrometheusSinkError,
    RejectionReason,
    RemoteWriteVersion,
    RetryConfiguration,
    Secret,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.exchange import BODY_SECONDS
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.testing import FakeClock, decode_request
from pyflink_prometheus.writer.writer import RemoteWriter

TIMEOUT_S = 0.1
#: How much longer than configured an attempt may take on a busy machine.
SLACK_S = 30.0
MOST_RESPONSES = 8
MOST_SAMPLES = 40

_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
_STATUSES = [200, 204, 204, 400, 400, 409, 422, 413, 415, 429, 500, 503, 401, 404, 301, 408, 425]
_ODD_STATUSES = ["0", "99", "600", "999", "-1", "20", "2xx", "", "1000", "204.5", "²00", "102", "304", "206"]
_NUMBERS = ["0", "1", "2", "7", "40", "-1", "1.5", "", "x", "1e3", "9" * 30, "9" * 5000, "²", "1, 2", " 3 "]


class RespondingServer:
    """
    A server that treats each request as the next of its responses determines, and accepts requests after the last one.

    :param seeds: the seeds of the responses, each with its own generator, because requests come on several threads.
    :ivar requests: all requests that were read completely.
    """

    def __init__(self, seeds: list[int]) -> None:
        self.requests: list[bytes] = []
        self._seeds = iter(seeds)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> RespondingServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(0.05)
            while True:
                with self._lock:
                    seed = next(self._seeds, None)
                rng = random.Random(seed)
                if seed is not None and rng.random() < 0.05:
                    return  # without having read anything
                request = self._read(connection)
                if request is None:
                    if seed is not None:
                        with self._lock:  # for the next request, not for the end of a connection
                            self._seeds = iter([seed, *self._seeds])
                    return
                if seed is None:
                    connection.sendall(_good_response_to(request))
                elif not self._respond(connection, rng, request):
                    return

    def _read(self, connection: socket.socket) -> bytes | None:
        """Return a complete request; ``None`` at the connection's end."""
        request = b""
        missing = 1
        while missing > 0:
            try:
                part = connection.recv(65536)
            except TimeoutError:
                if self._stop.is_set():
                    return None
                continue
            if not part:
                return None
            request += part
            head, separator, body = request.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: (\d+)", head)
            if separator:
                missing = (int(length[1]) if length else 0) - len(body)
        self.requests.append(request)
        return request

    def _respond(self, connection: socket.socket, rng: random.Random, request: bytes) -> bool:
        """Send a response; return whether the connection stays."""
        connection.settimeout(10)
        response = response_to(rng, request)
        way = rng.randrange(12)
        if way == 0:
            response = response[: rng.randrange(len(response))]
        elif way == 1:
            connection.sendall(response[: rng.randrange(len(response))])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        elif way == 2:  # byte by byte, for longer than the client may wait
            until = time.monotonic() + rng.choice([TIMEOUT_S / 2, 2 * TIMEOUT_S + BODY_SECONDS])
            for byte in response:
                if time.monotonic() > until or self._stop.is_set():
                    return False
                connection.sendall(bytes([byte]))
                time.sleep(rng.choice([0, 0.001, 0.01]))
            return rng.random() < 0.5
        elif way == 3:  # a part, and then nothing
            connection.sendall(response[: rng.randrange(len(response))])
            self._stop.wait(2 * TIMEOUT_S + BODY_SECONDS)
            return False
        elif way == 4:
            response = b"HTTP/1.1 100 Continue\r\n\r\n" * rng.choice([1, 3, 200]) + response
        elif way == 5:
            response += rng.randbytes(rng.randrange(100))
        elif way == 6:
            response = rng.randbytes(rng.choice([1, 10, 100_000]))
        elif way == 7:
            place = rng.randrange(len(response))
            response = response[:place] + rng.randbytes(3) + response[place + 1 :]
        connection.sendall(response)
        return way > 7 and rng.random() < 0.8


def _good_response_to(request: bytes) -> bytes:
    """Return the response of a receiver that has written everything."""
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
    content = decode_request(body, headers).content
    counts = zip(("Samples", "Histograms", "Exemplars"), (content.samples, content.histograms, content.exemplars))
    written = b"".join(_header(_WRITTEN.format(kind), str(count)) for kind, count in counts)
    return b"HTTP/1.1 204 OK\r\n" + written + b"\r\n"


def response_to(rng: random.Random, request: bytes) -> bytes:
    """Return the bytes of a response."""
    head = request.partition(b"\r\n\r\n")[0]
    status = rng.choice(_ODD_STATUSES) if rng.random() < 0.1 else str(rng.choice(_STATUSES))
    content = rng.choice(
        [
            b"",
            b"",
            b"out of order sample",
            head,
            rng.randbytes(rng.choice([5, 900, 8192 - len(head) // 2])) + head,
            b"x" * rng.choice([990, 8150, 8170]) + head,
            b"x" * 300_000,
            b"<html><body>" + head,
            b'{"error": "' + head.replace(b"\r\n", b"\\r\\n").replace(b'"', b'\\"') + b'"}',
        ]
    )
    headers = [_header(name, value) for name, value in _headers(rng, head, len(content)) if value is not None]
    if rng.random() < 0.1:
        headers = [_header("Content-Encoding", rng.choice(["gzip", "deflate", "br", "é"]))] + headers
        content = rng.choice([content, zlib.compress(content), zlib.compress(b"\0" * 10**6), zlib.compress(head)[:-5]])
    if rng.random() < 0.15:
        headers = [each for each in headers if not each.lower().startswith(b"content-length")]
        headers.append(_header("Transfer-Encoding", rng.choice(["chunked", "chunked", "gzip, chunked", "x"])))
        size = rng.choice(["%x", "%X;ext", "-%x", "fffffffff%x", "g%x", " %x"]) % len(content)
        content = (
            size.encode() + b"\r\n" + content + rng.choice([b"\r\n0\r\n\r\n", b"\r\n", b"0", b"\r\n0\r\nX: y\r\n\r\n"])
        )
    rng.shuffle(headers)
    reason = rng.choice([b"OK", b"", b"x" * 1000, head.partition(b"\r\n")[0]])
    version = rng.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2", b"HTTP/0.9", b"http/1.1"])
    return version + b" " + status.encode() + b" " + reason + b"\r\n" + b"".join(headers) + b"\r\n" + content


def _headers(rng: random.Random, head: bytes, length: int) -> list[tuple[str, str | None]]:
    def now_and_then(value: Any, chance: float = 0.1) -> Any:
        return value if rng.random() < chance else None

    number = rng.choice(_NUMBERS)
    wrong = rng.choice([str(length + 5), str(max(0, length - 5)), number, None])
    quoted = head.decode("latin-1").replace("\r\n", " ")
    return [
        ("Content-Length", wrong if rng.random() < 0.15 else str(length)),
        (_WRITTEN.format("Samples"), rng.choice([*_NUMBERS, "1", "1", "2", None, None])),
        (_WRITTEN.format("Histograms"), now_and_then(rng.choice(_NUMBERS), 0.3)),
        (_WRITTEN.format("Exemplars"), now_and_then(rng.choice(_NUMBERS), 0.3)),
        (
            "Retry-After",
            now_and_then(rng.choice([*_NUMBERS, "Wed, 21 Oct 9999 07:28:00 GMT", "Thu, 99 Foo 1 1:1:1"]), 0.3),
        ),
        ("Location", now_and_then(rng.choice(["/", "//[", "http://[", f"http://x/{quoted}", f"/{quoted}", "é"]), 0.3)),
        ("Content-Type", now_and_then(rng.choice(["text/html", "application/json", "x" * 500, quoted]))),
        ("Connection", now_and_then(rng.choice(["close", "keep-alive", "é"]))),
        ("WWW-Authenticate", now_and_then(rng.choice(["Basic", "Digest nonce=x", quoted]))),
        ("Set-Cookie", now_and_then("a=b")),
        ("X-Long", now_and_then("x" * rng.choice([1000, 70_000]), 0.05)),
        (quoted[:50], now_and_then(quoted)),
        *((f"X-{each}", "y") for each in range(rng.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 150]))),
    ]


def _header(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("utf-8", errors="replace")


class TimedTransport(RequestsTransport):
    """A transport that reports attempts that take too long."""

    def __init__(self, config: SinkConfig, clock: FakeClock, overdue: list[float]) -> None:
        super().__init__(config, clock.time)
        self._overdue = overdue

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        began = time.monotonic()
        outcome = super().post(body, headers)
        if (took := time.monotonic() - began) > TIMEOUT_S + BODY_SECONDS + SLACK_S:
            self._overdue.append(took)
        return outcome


def run(case: Case) -> None:
    """Write samples to a receiver that responds with anything."""
    rng = case.rng
    seeds = [rng.getrandbits(32) for _ in range(rng.randrange(1, MOST_RESPONSES))]
    with RespondingServer(seeds) as server:
        rejected = Rejections()
        clock, overdue = FakeClock(float(T // 1000)), list[float]()
        config = _config(case, server.address, rejected)
        kind = rng.choice([RemoteWriter, RowWriter])
        writer = kind(config, new_transport=lambda each: TimedTransport(each, clock, overdue), clock=clock)
        failed = False
        count = exemplars = 0
        try:
            for number in range(rng.randrange(1, MOST_SAMPLES)):
                record, of_it = _record(rng, number)
                writer.add(record)
                count += 1
                exemplars += of_it
                if rng.random() < 0.1:
                    writer.flush()
                    assert writer.ledger.samples_pending == 0, "samples are pending after a flush"
            writer.flush()
        except PrometheusSinkError as error:
            failed = True
            case.show_error(error)
            case.check("\n" not in str(error), str(error))
            case.check("unexpectedly" not in str(error), str(error))
            case.done[type(error).__name__] += 1
        finally:
            writer.close()
        assert not overdue, f"attempts took {overdue} s"
    ledger = writer.ledger
    case.show(repr(config), repr(vars(ledger)), *(repr(each) for each in rejected))
    told = sum(ledger.samples_rejected.values())
    excluded = ledger.samples_rejected[RejectionReason.EXCLUDED]
    # If adding a record fails, the error is raised, whether or not the record has been taken by then.
    pending = ledger.samples_in - count
    assert pending in ((0, 1) if failed else (0,)), f"{ledger.samples_in} of {count} samples are counted"
    assert ledger.samples_accepted + told + ledger.samples_pending == ledger.samples_in
    assert failed or ledger.samples_pending == 0
    assert rejected.count == told - excluded, f"{rejected.count} were reported to the handler, and {told} were rejected"
    if not failed:
        assert ledger.exemplars_accepted + ledger.exemplars_rejected == exemplars, "exemplars are unaccounted for"
    case.done["requests"] += len(server.requests)
    case.done["samples written"] += ledger.samples_accepted
    case.done["samples rejected"] += told
    case.done["samples whose writer failed"] += ledger.samples_pending


def _config(case: Case, address: str, rejected: Rejections) -> SinkConfig:
    rng = case.rng
    secret = f"s3cret{rng.getrandbits(80):020x}"
    case.plant(secret, base64.b64encode(f"user:{secret}".encode()).decode()[8:])
    url = f"http://{address}/api/v1/write"
    places: list[dict[str, Any]] = [
        {"request_signer": BasicAuth("user", secret)},
        {"request_signer": BearerAuth(Secret.value(secret))},
        {"http_headers": {"X-API-Key": secret}},
        {"http_headers": {"X-API-Key": Secret.value(secret)}},
        {"url": url.replace("://", f"://user:{secret}@")},
        {"url": f"{url}?token={secret}"},
        {"request_signer": lambda headers, body: {**headers, "Authorization": f"Token {secret}"}},
    ]
    place = rng.choice(places)
    behavior = rng.choice(list(OnErrorBehavior))
    return SinkConfig(
        prometheus_remote_write_url=place.pop("url", url),
        remote_write_version=rng.choice([*RemoteWriteVersion, RemoteWriteVersion.AUTO]),
        max_in_flight_requests=rng.choice([1, 1, 3]),
        max_batch_size_in_samples=rng.choice([1, 5, 40]),
        max_isolation_requests=rng.choice([None, None, 0, 3]),
        conflict_policy=rng.choice(list(ConflictPolicy)),
        send_native_histograms=rng.random() < 0.9,
        socket_timeout_ms=int(TIMEOUT_S * 1000),
        retry=RetryConfiguration(max_retry_count=rng.choice([0, 2, 10])),
        error_handling=SinkWriterErrorHandlingBehaviorConfiguration(on_max_retry_exceeded=behavior),
        rejected_samples_handler=rejected,
        **place,
    )


def _record(rng: random.Random, number: int) -> tuple[Any, int]:
    """Return a record of one sample, and the number of its exemplars."""
    value: Any = histogram(rng) if rng.random() < 0.1 else float(number)
    exemplars = (Exemplar({"trace": "1"}, 1.0, T),) if rng.random() < 0.1 else ()
    labels = {"series": str(rng.randrange(4))}
    return ("m", labels, ((value, T + number - rng.choice([0, 0, 0, 3])),), None, exemplars), len(exemplars)
