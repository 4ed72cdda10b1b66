"""Configurations that are broken in any way: each is accepted, or refused with one line that shows no secret."""

from __future__ import annotations

import random
import sys
from typing import Any
from unittest import mock

from configuration_files import ACCEPTED, FOLDER, REFUSED, REFUSED_HERE
from relabelling_cases import TOKENS
from shapes import Mischief, anything, text
from watched import Case

from pyflink_prometheus import InvalidConfigurationError
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.relabelling.rule import RelabelConfigError

#: The secret of the files.
_SECRET = "hunter22"
_FILES = {folder: sorted((FOLDER / folder).glob("*.yml")) for folder in (ACCEPTED, REFUSED, REFUSED_HERE)}
_PIECES = [
    *"\"'{}[],:#&*!|>%@`-\n\t \0",
    "  ",
    "\n  ",
    ": ",
    "- ",
    "<<",
    "---",
    "...",
    "null",
    "0x10",
    "1e3",
    "30s",
    "é",
]
_PIECES += ["password", "url", "remote_write", "name", "\ufeff", "\u2028", "!!python/object:x", "&a [*a]", "*a", "\r"]
# The ways to write a secret.
_WAYS = [
    '"{}"',
    "'{}'",
    '"{}',
    "[{}]",
    "{{a: {}}}",
    "|\n      {}",
    "!!binary {}",
    "{}: x",
    "&a {}",
    "*{}",
    "{} # x",
    "{}\t",
]


def run(case: Case) -> None:
    """Read a configuration, or apply rules."""
    case.rng.choice([_files, _files, _mappings, _rules])(case)


def _files(case: Case) -> None:
    rng = case.rng
    secret = f"s3cret{rng.getrandbits(80):020x}"
    case.plant(secret)
    content = rng.choice(_FILES[rng.choice([ACCEPTED, ACCEPTED, REFUSED, REFUSED_HERE])]).read_text(encoding="utf-8")
    if rng.random() < 0.3:
        content = content.replace(
            _SECRET, rng.choice(_WAYS).replace("{}", _SECRET).replace("{{", "{").replace("}}", "}")
        )
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        content = _edited(rng, content)
    path = case.folder.parent / f"{case.folder.name}.yml"  # which is not searched for leaks
    try:
        path.write_bytes(content.replace(_SECRET, secret).encode(errors="surrogatepass"))
        _read(case, str(path))
    finally:
        path.unlink()


def _edited(rng: random.Random, content: str) -> str:
    """Return a text with another character, line or piece, but not in the line of a secret."""
    lines = content.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if _SECRET not in line]
    if not places:
        return content
    number = rng.choice(places)
    line = lines[number]
    at = rng.randrange(len(line))
    lines[number] = rng.choice(
        [
            "",
            line + line,
            line[:at],
            line[:at] + line[at + 1 :],
            line[:at] + rng.choice(_PIECES) + line[at:],
            f"  {line}",
            line.replace(": ", ":", 1),
            line.partition(":")[0] + f": {rng.choice(_PIECES)}\n",
        ]
    )
    return "".join(lines)


def _mappings(case: Case) -> None:
    rng = case.rng
    secret = f"s3cret{rng.getrandbits(80):020x}"
    case.plant(secret)
    entry: dict[str, Any] = {
        "url": rng.choice(
            [
                "http://receiver.example/",
                f"http://user:{secret}@receiver.example/w",
                f"http://user:{secret}{rng.choice('/?#@:%[] ')}x@receiver.example/w",
                anything(rng),
            ]
        ),
        "basic_auth": rng.choice([None, {"username": "user", "password": secret}]),
        "headers": rng.choice([None, {text(rng): "x"}, anything(rng)]),
        "http_headers": rng.choice([None, {"X-Key": {"secrets": [secret]}}, {text(rng): {"secrets": [secret]}}]),
        "remote_timeout": rng.choice(["30s", "0s", anything(rng)]),
        "queue_config": rng.choice([None, {"capacity": anything(rng)}, {"max_shards": 3, "min_shards": anything(rng)}]),
        "oauth2": rng.choice([None, None, {"client_id": "a", "client_secret": secret, "token_url": anything(rng)}]),
        "sigv4": rng.choice([None, None, {"region": "r", "access_key": "A", "secret_key": secret}]),
        "write_relabel_configs": rng.choice([None, [_rule(rng)], anything(rng)]),
        "name": rng.choice([None, "a", anything(rng)]),
    }
    kept = {name: value for name, value in entry.items() if value is not None and rng.random() < 0.6}
    if rng.random() < 0.1:
        kept[rng.choice(["more", ""])] = anything(rng)
    _read(case, rng.choice([kept, {"remote_write": [kept]}, {"remote_write": kept}, {"remote_write": [kept, kept]}]))


def _read(case: Case, config: Any) -> None:
    try:
        read = read_remote_write(config, case.rng.choice([None, None, "a"]))
    except InvalidConfigurationError as error:
        case.show_error(error)
        case.check("\n" not in str(error), str(error))
        case.done["refused"] += 1
        return
    except Mischief:
        return
    case.done["accepted"] += 1
    case.show(repr(read), repr(SinkConfig(**read.settings)), repr(read.settings.get("relabelling")))
    for name, value in read.settings.items():
        if not isinstance(value, (str, dict)):
            case.show(f"{name}={value!r}")


def _rule(rng: random.Random) -> dict[str, Any]:
    def expression() -> str:
        return "".join(rng.choice([*TOKENS, "a", "b", ".*", "(a|b)", "[ab]+"]) for _ in range(rng.randrange(1, 7)))

    sources = {"source_labels": rng.choice([["a"], ["a", "b"], [], ["__name__", text(rng)]])}
    joined = {**sources, "separator": rng.choice([";", "", text(rng)])}
    target = {"target_label": rng.choice(["a", "c", text(rng)])}
    regex = {"regex": expression() if rng.random() < 0.7 else rng.choice(["(.*)", "a.*", "(a)(b)?", "(?i)A|b"])}
    replacement = {"replacement": rng.choice(["$1", "${1}", "$$", "", text(rng), "${n}"])}
    modulus = {"modulus": rng.choice([1, 7, 2**64 - 1, 0, -1])}
    fields: dict[str, dict[str, Any]] = {
        "replace": {**joined, **regex, **replacement, "target_label": rng.choice(["a", "$1", "x_${1}", text(rng)])},
        "hashmod": {**joined, **target, **modulus},
        "labelmap": {**regex, **replacement},
        **{name: {**joined, **regex} for name in ("keep", "drop")},
        **{name: {**sources, **target} for name in ("keepequal", "dropequal")},
        **{name: {**joined, **target} for name in ("lowercase", "uppercase")},
        **dict.fromkeys(("labeldrop", "labelkeep"), regex),
    }
    action = rng.choice([*fields])
    rule = {"action": action, **fields[action]}
    if rng.random() < 0.1:
        rule[rng.choice([*rule, "more"])] = anything(rng)
    return rule


def _rules(case: Case) -> None:
    """Apply rules, with RE2 if it is installed, or without."""
    hidden: dict[str, Any] = {"re2": None}
    with mock.patch.dict(sys.modules, case.rng.choice([{}, hidden])):
        _apply(case)


def _apply(case: Case) -> None:
    rng = case.rng
    try:
        relabelling = Relabelling([_rule(rng) for _ in range(rng.randrange(1, 3))])
    except RelabelConfigError as error:
        case.show_error(error)
        case.done["rules refused"] += 1
        return
    except Mischief:
        return
    case.done["rules applied"] += 1
    for _ in range(5):
        labels = {name: rng.choice(["a" * 60, "ab", "é", _encodable(text(rng))]) for name in ("__name__", "a", "b")}
        try:
            kept = relabelling.apply(labels)
        except Mischief:
            return
        assert kept is None or all(isinstance(each, str) for pair in kept.items() for each in pair)
    assert relabelling == relabelling.__reduce__()[0](*relabelling.__reduce__()[1])


def _encodable(given: str) -> str:
    """Return a text in the form that it has in the writer."""
    return given.encode(errors="replace").decode()
