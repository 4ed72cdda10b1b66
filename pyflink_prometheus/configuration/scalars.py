"""Strings as booleans, numbers, durations and URLs, by the rules of Prometheus and of its YAML parser."""

from __future__ import annotations

import math
import os
import re

from pyflink_prometheus.configuration.document import Node

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"(?P<sign>[-+]?)(0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|[0-9]+)")
_NOT_FINITE = {f"{sign}.{name}" for sign in ("", "+", "-") for name in ("inf", "Inf", "INF")} | {".nan", ".NaN", ".NAN"}
_BITS = 63

_WRONG_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_USERINFO = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=%:@]*")
_NOT_OF_A_HOST = re.compile(r"[\x00-\x7f](?<![A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%])")

_UNITS_MS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION_PART = re.compile(r"([0-9]+)([^0-9]+)")
_LONGEST_MS = (1 << 63) // 1_000_000
_SIZE = re.compile(r"[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)[KMGTPE]?i?B([0-9.]+[KMGTPE]?i?B)*)")
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([*#$@!?0-9-]|[A-Za-z_][A-Za-z0-9_]*)|\{)")


def text(node: Node) -> str:
    """
    Return a scalar's text, whatever it looks like.

    :raises InvalidConfigurationError: if it is not a scalar.
    """
    if isinstance(node.value, str):
        return node.value
    raise node.error("write one value", f"cannot unmarshal {_tag(node)} into string")


def boolean(node: Node) -> bool:
    """Return a boolean."""
    if node.is_plain and node.value in _TRUE | _FALSE:
        return node.value in _TRUE
    raise node.error(f"write true or false{_got(node)}", _cannot(node, "bool"))


def integer(node: Node) -> int:
    """Return a 64-bit integer; a fraction is cut off, as in Prometheus."""
    number = _number(node)
    if number is None or not -(1 << _BITS) <= number < 1 << _BITS:
        raise node.error(f"write an integer{_got(node)}", _cannot(node, "int"))
    return int(number)


def unsigned(node: Node) -> int:
    """Return an unsigned 64-bit integer."""
    number = _number(node)
    if number is None or not 0 <= number < 1 << (_BITS + 1):
        raise node.error(f"write an integer of at least 0{_got(node)}", _cannot(node, "uint64"))
    return int(number)


def duration(node: Node) -> int:
    """Return a duration such as ``1m30s`` in milliseconds."""
    written = text(node)
    advice = f"write a duration such as 30s, 1m30s or 500ms{_got(node)}"
    if written == "0":
        return 0
    if not written:
        raise node.error(advice, "empty duration string")
    if re.fullmatch(r"([0-9]+[^0-9]+)+", written) is None:
        raise node.error(advice, f'not a valid duration string: "{written}"')
    total, units = 0, list(_UNITS_MS)
    for number, unit in _DURATION_PART.findall(written):
        if unit not in _UNITS_MS:
            raise node.error(advice, f'unknown unit "{unit}" in duration "{written}"')
        if unit not in units:  # from large to small
            raise node.error(advice, f'not a valid duration string: "{written}"')
        units = units[units.index(unit) + 1 :]
        total += int(number) * _UNITS_MS[unit]
        if total > _LONGEST_MS:
            raise node.error(advice, "duration out of range")
    return total


def number(node: Node) -> float | int:
    """Return a number of any kind."""
    found = _number(node)
    if found is None:
        raise node.error(f"write a number{_got(node)}")
    return found


def size(node: Node) -> str:
    """Return a size such as ``10MB`` as it is written."""
    written = text(node)
    if _SIZE.fullmatch(written) is None:
        raise node.error(f"write a size such as 512KB or 10MB{_got(node)}", "units: ")
    return written


def url(node: Node) -> str:
    """Return a URL that Go can parse, whether or not requests can be made to it."""
    written = text(node)
    problem = _url_problem(written)
    if problem:
        raise node.error(
            "write a URL such as https://host/api/v1/write; the value may hold secrets and is not shown", problem
        )
    return written


def expanded(value: str) -> tuple[str, list[str]]:
    """
    Return a text with ``$NAME`` and ``${NAME}`` replaced from the environment, and the names that have no value.

    ``$$`` is a dollar sign. The rules are those of Go's ``os.Expand``: malformed references vanish.
    """
    missing = []

    def value_of(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not name:
            return ""
        value = "$" if name == "$" else os.environ.get(name, "")
        if not value:
            missing.append(name)
        return value

    return _VARIABLE.sub(value_of, value), missing


def _number(node: Node) -> float | int | None:
    if not isinstance(node.value, str) or not node.is_plain:
        return None
    written = node.value.replace("_", "")
    found = _INTEGER.fullmatch(written)
    if found is not None:
        for name, base in (("hex", 16), ("bin", 2), ("oct", 8)):
            if found[name] is not None:
                return int(found["sign"] + found[name], base)
        return int(written)
    if _FLOAT.fullmatch(written) is not None:
        number = float(written)
        return number if math.isfinite(number) else None
    return None


def _tag(node: Node) -> str:
    if isinstance(node.value, str):
        if node.is_plain and node.value in _TRUE | _FALSE:
            return "!!bool"
        number = _number(node)
        if number is None:
            return "!!float" if node.is_plain and node.value in _NOT_FINITE else "!!str"
        return "!!int" if isinstance(number, int) and -(1 << _BITS) <= number < 1 << (_BITS + 1) else "!!float"
    return "!!map" if isinstance(node.value, tuple) else "!!seq"


def _cannot(node: Node, kind: str) -> str:
    """Return the YAML parser's words for a value that is not a secret."""
    shown = ""
    if isinstance(node.value, str):
        shown = f" `{node.value if len(node.value) <= 10 else node.value[:7] + '...'}`"
    return f"cannot unmarshal {_tag(node)}{shown} into {kind}"


def _got(node: Node) -> str:
    return f", not {node.value[:60]!r}" if isinstance(node.value, str) else ""


def _url_problem(written: str) -> str:
    """Return why Go cannot parse a URL, in its words but without the URL; "" if it can."""
    if any(each < " " or each == "\x7f" for each in written):
        return "net/url: invalid control character in URL"
    if written.startswith(":"):
        return "missing protocol scheme"
    main, _, fragment = written.partition("#")
    main = main.partition("?")[0]
    found = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/]*)", main)
    has_scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", main) is not None
    if not has_scheme and found is None and ":" in main.partition("/")[0]:
        return "first path segment in URL cannot contain colon"
    is_opaque = has_scheme and re.match(r"[^:]*:/", main) is None
    problem = "" if found is None else _authority_problem(found[1])
    if problem or is_opaque:
        return problem
    return "invalid URL escape" if _WRONG_ESCAPE.search(f"{main} {fragment}") else ""


def _authority_problem(authority: str) -> str:
    userinfo, at, host = authority.rpartition("@")
    if at and _USERINFO.fullmatch(userinfo) is None:
        return "net/url: invalid userinfo"
    if host.startswith("[") and "]" not in host:
        return "missing ']' in host"
    port = host.rpartition("]")[2] if host.startswith("[") else host[host.find(":") :] if ":" in host else ""
    if port and re.fullmatch(r":[0-9]*", port) is None:
        return "invalid port"  # maybe a password without a user, without its end, or with a slash
    if _WRONG_ESCAPE.search(host) or re.search(r"%(?!25)[0-7]", host):
        return "invalid URL escape"
    wrong = _NOT_OF_A_HOST.search(host)
    return "" if wrong is None else f'invalid character "{wrong[0]}" in host name'
