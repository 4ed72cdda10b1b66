"""Files of rejected samples that were cut and rewritten: each complete line is read, and nothing raises."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapes import T, histogram, text
from watched import Case

from pyflink_prometheus import (
    Exemplar,
    JsonLinesRejectedSamples,
    Metadata,
    PrometheusTimeSeries,
    RejectedSamples,
    RejectionReason,
    read_rejected_samples,
)


def reread(folder: Path) -> int:
    """Return the number of samples in a folder of rejected samples."""
    return sum(each.count for each in read_rejected_samples(str(folder)))


def run(case: Case) -> None:
    """Write some rejected samples, spoil the files, and read them."""
    rng = case.rng
    written = [rejected(rng) for _ in range(rng.randrange(1, 12))]
    files = write(rng, case.folder, written)
    assert len(list(read_rejected_samples(str(case.folder)))) == len(written)
    whole = 0
    for path in files:
        lines = path.read_bytes().splitlines(keepends=True)
        after = [spoiled(rng, line) if rng.random() < 0.4 else line for line in lines]
        whole += sum(line == before for line, before in zip(after, lines))
        if rng.random() < 0.2:
            after.insert(rng.randrange(len(after) + 1), bytes(rng.randrange(256) for _ in range(20)) + b"\n")
        path.write_bytes(b"".join(after))
    read = list(read_rejected_samples(str(case.folder)))
    assert len(read) >= whole, f"{whole} lines are complete, and {len(read)} were read"
    for each in read:  # the samples read can be used
        assert isinstance(each.count, int)
        assert isinstance(each.message, str)
        for series in each.series:
            series.check()
    case.done["lines read"] += len(read)
    case.done["lines skipped"] += len(written) - whole


def write(rng: random.Random, folder: Path, written: list[RejectedSamples]) -> list[Path]:
    """Write rejected samples to a folder as a job does; return the new files, whose names are the same each time."""
    handler = JsonLinesRejectedSamples(str(folder), max_file_size_bytes=rng.choice([1, 500, 10**6]))
    files: list[Path] = []
    for each in written:
        known = set(folder.glob("rejected-*"))
        handler([each])
        files += set(folder.glob("rejected-*")) - known
    handler.close()
    number = len(list(folder.glob("rejected-*"))) - len(files)
    return [path.rename(folder / f"rejected-{place:03}.jsonl") for place, path in enumerate(files, number)]


def rejected(rng: random.Random, tenant: Mapping[str, str] | None = None) -> RejectedSamples:
    """Return rejected samples of a tenant."""
    headers = {"X": "t"} if tenant is None else tenant

    def series() -> PrometheusTimeSeries:
        values: list[Any] = [1.0, float("nan"), float("-inf"), histogram(rng)]
        samples = tuple((rng.choice(values), T + number) for number in range(rng.randrange(1, 4)))
        labels = {rng.choice("abcd"): text(rng).encode(errors="replace").decode() for _ in range(rng.randrange(3))}
        return PrometheusTimeSeries(
            rng.choice(["m", "m", "m", "m_total", "m_info", "ö", "n\0"]),
            labels,
            samples,
            rng.choice([None, *(Metadata(kind, "é", "s") for kind in ("gauge", "counter", "info", "histogram"))]),
            tuple(Exemplar({"t": "1"}, 2.0, T) for _ in range(rng.randrange(2))),
        )

    reason = rng.choice([*RejectionReason, *[RejectionReason.REFUSED] * len(RejectionReason)])
    kind = rng.randrange(4)
    if kind == 0:
        return RejectedSamples(
            None, 2, reason, text(rng), 400, tuple(series() for _ in range(rng.randrange(1, 3))), headers
        )
    if kind == 1:
        return RejectedSamples(object(), 1, reason, text(rng))
    one = series()
    return RejectedSamples(one, len(one.samples), reason, text(rng), rng.choice([None, 400]), tenant=headers)


def spoiled(rng: random.Random, line: bytes) -> bytes:
    """Return a damaged line; a line end stays, so that the lines after it are complete."""
    content = line.rstrip(b"\n")
    kind = rng.randrange(6)
    if kind == 0:
        return content[: rng.randrange(len(content))] + b"\n"
    if kind == 1:
        place = rng.randrange(len(content))
        return content[:place] + bytes([rng.choice([0, 0x80, 0xFF, 0x22, 0x5B, 0x7B])]) + content[place + 1 :] + b"\n"
    if kind == 2:
        return (
            rng.choice([b"", b"[]", b"1", b"null", b'"text"', b"{}", b"[" * 100_000, b"1" * 5000, b"\xef\xbb\xbf{}"])
            + b"\n"
        )
    read = json.loads(content)
    if kind == 3:
        read.pop(rng.choice(list(read)))
    else:
        read[rng.choice([*read, "more", "record", "candidates"])] = rng.choice(_VALUES)
    if kind == 5 and isinstance(read.get("samples"), list):
        read["samples"] = [[rng.choice(_VALUES), rng.choice(_VALUES)]]
    return json.dumps(read).encode() + b"\n"


_VALUES: list[Any] = [
    None,
    True,
    -1,
    1.5,
    10**400,
    "x",
    "NaN",
    [],
    [[]],
    [1, 2, 3, 4],
    {},
    {"schema": "x"},
    {"sum": []},
]
