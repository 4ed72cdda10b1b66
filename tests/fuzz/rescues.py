"""
Rescues from files that were cut and rewritten, to text and to a receiver that responds with anything.

Each sample of the files is written, refused with a reason or reported as damaged, even if the command is repeated, its
progress is damaged, or the files are changed in between.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from files import rejected, spoiled, write
from responses import RespondingServer, TimedTransport
from shapes import T
from watched import Case

from pyflink_prometheus import NativeHistogram, PrometheusTimeSeries, RejectionReason
from pyflink_prometheus.commands import rescue
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.rescue.refused_files import RESCUED_REASONS
from pyflink_prometheus.testing import FakeClock, decode_request
from pyflink_prometheus.writer.rejected_files import from_line
from pyflink_prometheus.writer.writer import RemoteWriter

TENANTS: list[dict[str, str]] = [
    *({}, {}, {"X-Scope-OrgID": "a/b"}, {"X-Scope-OrgID": "a_b"}, {"THANOS-TENANT": "a_b"}, {"X-Scope-OrgID": "A_B"}),
    *({"X-Scope-OrgID": "x" * 400}, {"X-Scope-OrgID": "a", "X-More": "b"}, {"X-Scope-OrgID": "a-b"}),
]
HOUR = 3_600_000
_FETCHED = Path(__file__).parents[2] / ".cache" / "prometheus" / "promtool"
PROMTOOL = shutil.which("promtool") or (str(_FETCHED) if _FETCHED.exists() else None)

#: A sample: its tenant, its series and its time.
Sample = tuple[tuple[tuple[str, str], ...], str, int]


@dataclass
class Held:
    """
    The content of files.

    :ivar samples: the first value of each sample.
    :ivar unsayable: the samples that text cannot represent, with the reason.
    :ivar left_out: the counts that the command must report for the rest.
    """

    samples: dict[Sample, Any] = field(default_factory=dict)
    unsayable: dict[Sample, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def run_openmetrics(case: Case) -> None:
    """Write some rejected samples, spoil the files, and convert them to text."""
    rng = case.rng
    folder, output = case.folder / "rejected", case.folder / "text"
    _write(rng, folder)
    reasons = rng.sample(list(RejectionReason), 3) if rng.random() < 0.2 else list(RESCUED_REASONS)
    held = _held(folder, reasons)
    options = ["--hours-per-file", str(rng.choice([1, 2, 24, 999_999]))]
    if reasons != list(RESCUED_REASONS):
        options += [part for each in reasons for part in ("--reason", each.value)]
    status, printed, _ = _command(case, ["openmetrics", str(folder), "--output", str(output), "--json", *options])
    told = json.loads(printed)
    unsayable = Counter(held.unsayable.values())
    told["left_out"].pop("exemplars", None)
    assert told["left_out"] == dict(held.left_out + unsayable), f"{told} for {held.left_out} and {unsayable}"
    assert told["samples"] == len(held.samples) - unsayable.total()
    assert status == bool(unsayable.total() - unsayable["stale markers"] or held.left_out["lines that cannot be read"])
    found: Counter[int] = Counter()
    for path in map(Path, told["files"]):
        *lines, end = path.read_bytes().decode().removesuffix("\n").split("\n")
        assert end == "# EOF"
        families = [line.split(" ")[2] for line in lines if line.startswith("# TYPE ") and '"' not in line]
        assert len(set(families)) == len(families), f"{path} has a family twice: {families}"
        found.update(int(float(line.rpartition(" ")[2]) * 1000) for line in lines if not line.startswith("#"))
    assert len(set(told["files"])) == len(told["files"]), "a file was replaced"
    assert found == Counter(each[2] for each in held.samples if each not in held.unsayable)
    if PROMTOOL is not None and rng.random() < 0.05 and found and max(found) - min(found) < HOUR:
        blocks = case.folder / "blocks"
        for path in told["files"]:
            subprocess.run(
                [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", path, blocks], check=True, capture_output=True
            )
        made = [json.loads(path.read_text())["stats"]["numSamples"] for path in blocks.glob("*/meta.json")]
        assert sum(made) == told["samples"]
        case.done["samples in blocks"] += told["samples"]
    case.done["samples in text"] += told["samples"]


def run_resend(case: Case) -> None:
    """Write some rejected samples, spoil the files, and send them again until all are settled."""
    rng = case.rng
    folder = case.folder / "rejected"
    state = folder / "resend-progress.json"
    _write(rng, folder)
    seeds = [rng.getrandbits(32) for _ in range(rng.randrange(6))]
    expected: dict[Sample, Any] = {}
    with RespondingServer(seeds) as server, _secrets(case) as secrets:
        options = [*_endpoint(case, server.address, secrets), "--samples-per-second", rng.choice(["0.3", "5", "1e6"])]
        arguments = ["resend", str(folder), "--json", *options]
        for round_ in range(2):
            for _ in range(len(seeds) + 8):
                held = _held(folder, RESCUED_REASONS, _taken(state))
                expected.update(held.samples)
                status, printed, error = _command(case, arguments)
                case.check(status == 0 or bool(printed) or error.count("\n") == 1, error)
                assert status != 2, f"unexpected error: {error}"
                told = json.loads(printed)
                assert told["accepted"] + sum(told["refused"].values()) == told["done"], told
                assert told["samples"] == len(held.samples), f"{told} for {len(held.samples)} samples"
                if not told["problem"]:
                    break
                case.done["runs that failed"] += 1
                case.check("\n" not in told["problem"], told["problem"])
                case.check("unexpectedly" not in told["problem"], told["problem"])
                _damage(case, arguments, folder, state)
            else:
                raise AssertionError(f"the rescue does not end: {told}")
            assert told["done"] == told["samples"]
            assert told["left_out"] == dict(held.left_out), f"{told} for {held.left_out}"
            assert status == bool(told["refused"] or held.left_out["lines that cannot be read"])
            case.done["samples sent"] += told["accepted"]
            case.done["samples refused"] += sum(told["refused"].values())
            if round_ == 0:
                _write(rng, folder, most=3)
        names = {name for tenant, _, _ in expected for name, _ in tenant}
        sent = {each for request in server.requests for each in _samples_of_request(request, names)}
    left = _held(folder / "left", list(RejectionReason)).samples
    assert not (missing := set(expected) - sent - set(left)), f"neither sent nor left in the files: {missing}"
    assert not (invented := (sent | set(left)) - set(expected)), f"never in the files: {invented}"


def _write(rng: random.Random, folder: Path, most: int = 12) -> None:
    """Write rejected samples to a folder, and spoil some of its new files."""
    for path in write(rng, folder, [rejected(rng, rng.choice(TENANTS)) for _ in range(rng.randrange(1, most))]):
        lines = path.read_bytes().splitlines(keepends=True)
        if rng.random() < 0.5:
            lines = [spoiled(rng, line) if rng.random() < 0.3 else line for line in lines]
        if rng.random() < 0.2:
            lines.insert(rng.randrange(len(lines) + 1), rng.randbytes(20).replace(b"\n", b"") + b"\n")
        if rng.random() < 0.2:  # two in one
            lines[0] = lines[0].removesuffix(b"\n")
        content = b"".join(lines)
        if rng.random() < 0.2:
            content = content[: rng.randrange(len(content) + 1)]
        path.write_bytes(content)


def _held(folder: Path, reasons: list[RejectionReason] | tuple[RejectionReason, ...], taken: Any = None) -> Held:
    """Return the content of a folder's files, without the part that is taken."""
    held = Held()
    for path in sorted(folder.glob("rejected-*.jsonl")):
        *lines, rest = path.read_bytes()[(taken or {}).get(str(path), 0) :].split(b"\n")
        held.left_out["last lines that are not complete"] += bool(rest)
        for line in lines:
            try:
                read = from_line(line)
            except ValueError:
                held.left_out["lines that cannot be read"] += 1
                continue
            if read.reason not in reasons:
                held.left_out[f"rejected as {read.reason.value}"] += read.count
                continue
            held.left_out["not a valid series"] += 0 if read.series else read.count
            tenant = tuple(sorted((name.lower(), value) for name, value in read.tenant.items()))
            for series in read.series:
                for value, at, *_ in series.samples:
                    sample = tenant, series.key(), int(at)
                    if (kind := _unsayable(series, value, at)) and sample not in held.samples:
                        held.unsayable[sample] = kind
                    first = held.samples.setdefault(sample, value)
                    if first is not value:
                        same = repr(first) == repr(value) and is_stale_marker(first) == is_stale_marker(value)
                        held.left_out["duplicate" if same else "conflicting"] += 1
    held.left_out += Counter()
    return held


def _samples_of_request(request: bytes, names: set[str]) -> Iterator[Sample]:
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
    decoded = decode_request(body, headers)
    tenant = tuple(sorted((name, value) for name, value in decoded.headers.items() if name in names))
    yield from ((tenant, series, at) for series, _, at in decoded.samples)


def _unsayable(series: PrometheusTimeSeries, value: Any, at: int) -> str:
    if isinstance(value, NativeHistogram):
        return "native histograms"
    if is_stale_marker(value):
        return "stale markers"
    if not 0 <= at <= 2**53:
        return "times before 1970 or after 287396"
    return "names with a NUL character" if "\0" in "".join([series.metric_name, *dict(series.labels)]) else ""


def _taken(state: Path) -> dict[str, int]:
    """Return the number of finished bytes of the files; parts that a run has only begun do not count."""
    return dict(json.loads(state.read_text())["taken"]) if state.exists() else {}


def _damage(case: Case, arguments: list[str], folder: Path, state: Path) -> None:
    """Damage the progress or the files of a run that has stopped; the next one must say so. Then restore them."""
    rng = case.rng
    if rng.random() < 0.1:
        state.unlink()  # starts over
        return
    path = rng.choice([state, rng.choice(sorted(folder.glob("rejected-*.jsonl")))])
    before = path.read_bytes()
    after = rng.choice([None, _changed(rng, before)])
    start, stop = json.loads(state.read_bytes())["spans"].get(str(path), (0, 0))
    if path is state:
        matters = after is None or before.split() != after.split()
    else:
        matters = stop > start and (after is None or before[start:stop] != after[start:stop])
    path.unlink()
    if after is not None:
        path.write_bytes(after)
    elif path is state:
        path.mkdir()
    if matters:
        status, printed, error = _command(case, arguments)
        assert (status, printed) == (2, ""), f"continued with {path.name} damaged: {status} {printed} {error}"
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        case.done["damages found"] += 1
    if path.is_dir():
        path.rmdir()
    path.write_bytes(before)


def _changed(rng: random.Random, content: bytes) -> bytes:
    """Return damaged or other content for a file."""
    place = rng.randrange(len(content) + 1)
    return rng.choice(
        [
            content[:place],
            content[:place] + bytes([rng.choice(b'0179[{",\x00\xff')]) + content[place + 1 :],
            rng.choice([b"", b"[]", b"[" * 100_000, b"{}", b"\xff", b"1" * 5000, b'{"version": 1}', rng.randbytes(50)]),
        ]
    )


def _command(case: Case, arguments: list[str]) -> tuple[int, str, str]:
    """Run the command; return its exit status, and what it prints to stdout and to stderr."""
    parser = argparse.ArgumentParser()
    rescue.add_parser(parser.add_subparsers())
    clock, overdue = FakeClock(float(T // 1000)), list[float]()

    def new_writer(config: SinkConfig) -> RemoteWriter:
        return RemoteWriter(config, new_transport=lambda each: TimedTransport(each, clock, overdue), clock=clock)

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        args = parser.parse_args(["rescue", *arguments])
        more = {"new_writer": new_writer} if args.run is rescue.run_resend else {}
        status = args.run(args, **more)
    case.show(out.getvalue(), err.getvalue())
    assert not overdue, f"attempts took {overdue} s"
    progress = [line for line in err.getvalue().splitlines(keepends=True) if " samples (" in line]
    return status, out.getvalue(), err.getvalue() if not progress else ""


@contextlib.contextmanager
def _secrets(case: Case) -> Iterator[Path]:
    """Yield a folder for secret files, which is deleted before the contents of files are checked."""
    folder = case.folder / "secrets"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _endpoint(case: Case, address: str, folder: Path) -> list[str]:
    """Return options that name an endpoint with a secret in one of the possible places."""
    rng = case.rng
    secret = f"s3cret{rng.getrandbits(80):020x}"
    case.plant(secret, base64.b64encode(f"user:{secret}".encode()).decode()[8:])
    url, file, config = f"http://{address}/api/v1/write", folder / "secret", folder / "prometheus.yml"
    file.write_text(f"{secret}\n")
    with_secret = url.replace("://", f"://user:{secret}@")
    if rng.random() < 0.5:
        entry: dict[str, Any] = rng.choice(
            [
                {"url": url, "basic_auth": {"username": "user", "password": secret}},
                {"url": url, "basic_auth": {"username": "user", "password_file": str(file)}},
                {"url": url, "authorization": {"credentials": secret}},
                {"url": url, "headers": {"X-API-Key": secret}},
                {"url": url, "http_headers": {"X-API-Key": {"secrets": [secret]}}},
                {"url": with_secret},
                {"url": f"{url}?token={secret}"},
            ]
        )
        batch = rng.choice([1, 3, 2000])
        entry |= {"remote_timeout": "100ms", "queue_config": {"max_samples_per_send": batch}}
        config.write_text(json.dumps({"remote_write": [entry]}))  # which is YAML
        options = ["--config", str(config)]
    else:
        options = rng.choice(
            [
                ["--url", url, "--username", "user", "--password-file", str(file)],
                ["--url", url, "--bearer-token-file", str(file)],
                ["--url", url, "--header", f"X-API-Key: {secret}"],
                ["--url", with_secret],
                ["--url", f"{url}?token={secret}"],
            ]
        )
        options += ["--timeout", "0.1"]
    version = rng.choice([None, "1.0", "2.0"])
    return options if version is None else [*options, "--remote-write-version", version]
