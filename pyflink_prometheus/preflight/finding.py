"""Findings about endpoints, as objects, text and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Severity(Enum):
    """How serious a finding is."""

    #: It works.
    OK = "ok"
    #: It works, but something could be better or may matter later.
    ADVICE = "advice"
    #: A job could not write.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    The result of a check.

    :param check: what was checked, such as ``tls``.
    :param severity: how serious it is.
    :param message: one sentence, without secrets.
    :param remedy: what to do; "" if there is nothing to do.
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """
    The findings about one endpoint.

    :param url: its URL, without credentials; "" if it is not a URL.
    :param findings: the findings, in the order in which a request meets their causes.
    :param name: the name of a further endpoint of a sink, or of an entry of a configuration; "" for the first or only
        endpoint.
    """

    url: str
    findings: tuple[Finding, ...]
    name: str = ""

    @property
    def severity(self) -> Severity:
        """The severity of the most serious finding."""
        return max((each.severity for each in self.findings), key=list(Severity).index, default=Severity.OK)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """
    The findings about several endpoints, such as all endpoints of a sink; its text is for people.

    :param endpoints: one report for each endpoint.
    """

    endpoints: tuple[EndpointReport, ...]

    @property
    def is_ok(self) -> bool:
        """Whether there is no problem; there may be advice."""
        return all(each.severity is not Severity.PROBLEM for each in self.endpoints)

    @property
    def problems(self) -> list[Finding]:
        """The findings that are problems."""
        return [each for endpoint in self.endpoints for each in endpoint.findings if each.severity is Severity.PROBLEM]

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "ok": self.is_ok,
            "endpoints": [
                {
                    "name": endpoint.name,
                    "url": endpoint.url,
                    "severity": endpoint.severity.value,
                    "findings": [
                        {
                            "check": each.check,
                            "severity": each.severity.value,
                            "message": each.message,
                            "remedy": each.remedy,
                        }
                        for each in endpoint.findings
                    ],
                }
                for endpoint in self.endpoints
            ],
        }

    def __str__(self) -> str:
        return "\n\n".join("\n".join(_lines(endpoint)) for endpoint in self.endpoints)


def _lines(report: EndpointReport) -> Iterator[str]:
    yield ": ".join(each for each in (report.name, report.url) if each)
    for each in report.findings:
        yield f"  {each.severity.value:<7}  {each.check:<14}  {each.message}"
        if each.remedy:
            yield f"{'':27}-> {each.remedy}"
