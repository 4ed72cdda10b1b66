"""The check of what an endpoint is, with requests without samples, which leave nothing behind."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.transport import Attempted, RequestsTransport
from pyflink_prometheus.preflight.finding import Finding, Severity
from pyflink_prometheus.preflight.network import Connections
from pyflink_prometheus.wire.request import encode, encode_padding, headers_of
from pyflink_prometheus.writer.batch import Batch

OK, ADVICE, PROBLEM = Severity.OK, Severity.ADVICE, Severity.PROBLEM
V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
_NAMES = {V1: "1.0", V2: "2.0"}

# Neither the length of a Snappy message, nor JSON, nor UTF-8 text begins with these bytes.
_NONSENSE = b"\xff\xff\xff\xff\xff\xff\xff"
_ROUND_TRIPS = 5
#: Sizes that differ by less than this are not distinguished.
_SIZE_STEP = 32 * 1024
#: Tokens and signatures are refused if the clock is wrong by five minutes, and samples if it is wrong by ten.
_MUCH_SKEW_S, _SOME_SKEW_S = 300.0, 10.0
#: Above this round-trip time, larger bundles pay off (docs/tuning.md).
_SHORT_S = 0.005


class Probe(NamedTuple):
    """
    The response to a request without samples.

    :param attempted: the result.
    :param seconds: how long it took.
    :param sent_s: when it was sent, in seconds since 1970.
    """

    attempted: Attempted
    seconds: float
    sent_s: float

    @property
    def is_accepted(self) -> bool:
        """Whether it was accepted."""
        return self.attempted.outcome.kind is Kind.ACCEPTED

    @property
    def has_counts(self) -> bool:
        """Whether the response has a Written header."""
        return self.attempted.outcome.written is not None


class ReceiverCheck:
    """
    The check of what responds to requests.

    :param config: the settings of the endpoint.
    :param transport: its transport.
    :param connections: observes the transport's connections.
    :ivar versions: the versions that the endpoint supports, the better first; empty if it is not a receiver.
    """

    def __init__(self, config: SinkConfig, transport: RequestsTransport, connections: Connections) -> None:
        self._config = config
        self._transport = transport
        self._connections = connections
        self.versions: list[RemoteWriteVersion] = []

    def findings(self) -> Iterator[Finding]:
        """Yield the findings, up to the first problem that prevents further checks."""
        preferred = V1 if self._config.remote_write_version is V1 else V2
        first = self._probe(preferred)
        outcome = first.attempted.outcome
        yield from self._connections.findings()
        if outcome.status is None:
            yield self._no_response(outcome.message, unsigned=outcome.unsigned, timed_out=outcome.timed_out)
            return
        if outcome.status in (401, 403, 407):
            yield self._refused_credentials(outcome.status, outcome.message)
            return
        if outcome.kind is Kind.RETRYABLE:
            remedy = f"wait, or check its log and limits: {outcome.message}"
            yield Finding("receiver", PROBLEM, f"It responds, but is not ready (HTTP {outcome.status}).", remedy)
            return
        if outcome.kind is Kind.FATAL:
            yield Finding("receiver", PROBLEM, "It is not a Remote-Write receiver.", outcome.message)
            return
        other = V2 if preferred is V1 else V1
        probes = {preferred: first, other: self._probe(other)}
        if probes[V2].is_accepted and probes[V2].has_counts:
            self.versions.append(V2)
        if probes[V1].is_accepted:
            self.versions.append(V1)
        if not self.versions:
            remedy = f"check the URL's path, and whether it must begin with https:// ({outcome.message})"
            message = "It refuses even a request without samples, so it is not a Remote-Write receiver."
            yield Finding("receiver", PROBLEM, message, remedy)
            return
        yield from self._of_a_receiver(probes[self.versions[0]])

    def _of_a_receiver(self, accepted: Probe) -> Iterator[Finding]:
        config = self._config
        yield self._credentials()
        if self._transport.exchange(_NONSENSE, headers_of(self.versions[0])).outcome.kind is Kind.ACCEPTED:
            message = "It accepts any request, even one that is not Remote-Write, so it may store nothing."
            remedy = "check the URL's path, and query the first samples"
            yield Finding("receiver", ADVICE, message, remedy)
        else:
            yield Finding("receiver", OK, "It is a Remote-Write receiver: it accepts a request without samples.")
        yield self._version(config.remote_write_version)
        clock = _clock(accepted)
        if clock is not None:
            yield clock
        yield self._size_limit(config.max_batch_size_in_bytes)
        yield self._round_trip()

    def _probe(self, version: RemoteWriteVersion, size_in_bytes: int = 0) -> Probe:
        """Send a request without samples, padded to a size if one is given."""
        encoded = encode_padding(size_in_bytes, version) if size_in_bytes else encode(Batch.empty(), version)
        sent_s, began = time.time(), time.perf_counter()
        attempted = self._transport.exchange(encoded.body, headers_of(version))
        return Probe(attempted, time.perf_counter() - began, sent_s)

    def _no_response(self, message: str, *, unsigned: bool, timed_out: bool) -> Finding:
        surroundings = self._transport.surroundings
        if unsigned:
            return Finding("authentication", PROBLEM, "No request can be sent with these credentials.", message)
        if not self._connections.count and surroundings.proxy:
            return Finding("proxy", PROBLEM, "The proxy does not open a connection to the receiver.", message)
        if not self._connections.count and surroundings.url.startswith("https:") and not timed_out:
            return Finding("tls", PROBLEM, "No TLS connection can be made.", message)
        remedy = f"check the URL, and that the receiver works: {message}"
        advises = ": " in message and not timed_out
        return Finding("receiver", PROBLEM, "It does not respond to requests.", message if advises else remedy)

    def _refused_credentials(self, status: int, message: str) -> Finding:
        if status == 407:
            return Finding("proxy", PROBLEM, "The proxy does not let requests through.", message)
        if self._config.tenant is not None:
            remedy = f"set a tenant's header for this check, which has no series to take a tenant from: {message}"
            return Finding("authentication", ADVICE, f"It cannot be checked without a tenant (HTTP {status}).", remedy)
        has_tenant = any(name.lower() in ("x-scope-orgid", "thanos-tenant") for name in self._config.http_headers)
        more = "" if has_tenant else "; a receiver with tenants, such as Mimir, needs the header X-Scope-OrgID"
        sent = "the credentials" if self._has_credentials else "a request without credentials"
        return Finding("authentication", PROBLEM, f"It refuses {sent} (HTTP {status}).", f"{message}{more}")

    @property
    def _has_credentials(self) -> bool:
        return self._config.request_signer is not None or "@" in self._config.prometheus_remote_write_url

    def _credentials(self) -> Finding:
        if self._has_credentials:
            return Finding("authentication", OK, "It accepts the credentials.")
        return Finding("authentication", OK, "It requires no credentials.")

    def _version(self, wanted: RemoteWriteVersion) -> Finding:
        supported = " and ".join(_NAMES[each] for each in self.versions)
        if wanted not in (RemoteWriteVersion.AUTO, *self.versions):
            remedy = "set AUTO with set_remote_write_version (protobuf_message in a prometheus.yml)"
            message = f"It supports Remote-Write {supported}, but the settings allow only {_NAMES[wanted]}."
            return Finding("versions", PROBLEM, message, remedy)
        used = _NAMES[self.versions[0] if wanted is RemoteWriteVersion.AUTO else wanted]
        less = "" if used == "2.0" else ", without metadata and start timestamps"
        message = f"It supports Remote-Write {supported}; {used} will be used{less}."
        return Finding("versions", OK, message)

    def _size_limit(self, wanted: int) -> Finding:
        """Find the largest accepted request size, up to the configured one."""
        version = self.versions[0]
        refused = self._probe(version, wanted)
        if refused.is_accepted:
            return Finding("body size", OK, f"It accepts a request of {_size(wanted)}, the largest that will be sent.")
        if refused.attempted.outcome.kind is Kind.RETRYABLE and refused.attempted.outcome.status is not None:
            message = f"The largest accepted request is not known: {refused.attempted.outcome.message}."
            return Finding("body size", ADVICE, message, "run the check again when the receiver is less busy")
        if refused.attempted.outcome.timed_out:
            message = f"It does not respond to a request of {_size(wanted)}: {refused.attempted.outcome.message}."
            remedy = "lower set_max_batch_size_in_bytes, and find out what is slow"
            return Finding("body size", ADVICE, message, remedy)
        least, most = 0, wanted
        while most - least > max(_SIZE_STEP, most // 16):
            middle = (least + most) // 2
            if self._probe(version, middle).is_accepted:
                least = middle
            else:
                most = middle
        words = refused.attempted.outcome.message
        if not least:
            message = f"It refuses requests of {_size(most)} and more, for example with: {words}."
            return Finding("body size", PROBLEM, message, "raise the limit of the receiver, or of a proxy in front")
        message = f"It accepts requests of up to about {_size(least)}, and refuses {_size(wanted)}: {words}."
        remedy = f"set_max_batch_size_in_bytes({least}), or raise the limit of the receiver or of a proxy in front"
        return Finding("body size", ADVICE, message, remedy)

    def _round_trip(self) -> Finding:
        seconds = statistics.median(self._probe(self.versions[0]).seconds for _ in range(_ROUND_TRIPS))
        return round_trip_finding(seconds, self._config)


def round_trip_finding(seconds: float, config: SinkConfig) -> Finding:
    """Return what a round trip means for the settings (docs/tuning.md). Pure."""
    shown = f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    in_flight, size = config.max_in_flight_requests, config.max_batch_size_in_samples
    if in_flight is not None and size is not None:
        most = in_flight * size / seconds
        message = (
            f"A round trip takes {shown}: {in_flight} requests of {size} samples in flight carry at most "
            f"{_rounded(most)} samples a second in each subtask."
        )
        if most >= 100_000:
            return Finding("round trip", OK, message)
        remedy = "leave out set_max_in_flight_requests and set_max_batch_size_in_samples: the sink then adapts them"
        return Finding("round trip", ADVICE, message, remedy)
    if seconds < _SHORT_S:
        remedy = "for more than 10,000 samples a second in a subtask, set python.fn-execution.bundle.size to 10000"
        message = f"A round trip takes {shown}, so the sink's defaults fit."
        return Finding("round trip", OK, message, remedy)
    message = (
        f"A round trip takes {shown}: with PyFlink's bundles of 1000 records a subtask writes at most "
        f"{_rounded(1000 / seconds)} samples a second."
    )
    remedy = "set python.fn-execution.bundle.size to 100000, and leave the number and size of requests to the sink"
    return Finding("round trip", ADVICE, message, remedy)


def _clock(probe: Probe) -> Finding | None:
    """Compare the clocks by the Date header, which has whole seconds; return ``None`` without one."""
    received = probe.attempted.received
    try:
        theirs = parsedate_to_datetime("" if received is None else received.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return None
    ahead_s = probe.sent_s + probe.seconds / 2 - (theirs + 0.5)
    if abs(ahead_s) < _SOME_SKEW_S:
        return Finding("clock", OK, "The clocks of this machine and of the receiver agree.")
    direction = "ahead of" if ahead_s > 0 else "behind"
    message = f"The clock of this machine is {abs(ahead_s):.0f} s {direction} the receiver's."
    remedy = (
        "correct the clocks: signatures and tokens expire after minutes, and Prometheus refuses samples that are ten "
        "minutes ahead of its clock"
    )
    return Finding("clock", PROBLEM if abs(ahead_s) >= _MUCH_SKEW_S else ADVICE, message, remedy)


def _size(size_in_bytes: int) -> str:
    if size_in_bytes >= 1024 * 1024:
        return f"{size_in_bytes / 1024 / 1024:.3g} MiB"
    return f"{size_in_bytes / 1024:.0f} KiB"


def _rounded(number: float) -> str:
    """Return a number with two significant digits."""
    return f"{float(f'{number:.2g}'):,.0f}"
