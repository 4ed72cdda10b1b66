"""
Run jobs that fail because of their credentials, one after the other.

usage: leaking.py URL FOLDER

FOLDER has a file with a secret for each job, which is read on the worker. Prints as one JSON object the text of the
exception that each job's client gets.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from py4j.protocol import Py4JJavaError
from pyflink.datastream import StreamExecutionEnvironment

from pyflink_prometheus import (
    BearerAuth,
    EntraAuth,
    JwtBearerAuth,
    PrometheusSink,
    PrometheusTimeSeries,
    Secret,
    SigV4Auth,
)

URL, FOLDER = sys.argv[1:]


def to_series(number: int) -> PrometheusTimeSeries:
    """Convert a record."""
    return PrometheusTimeSeries("number", {}, ((float(number), 1_700_000_000_000 + number),))


def sign(headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    """Fail like a user's signer whose error contains a secret."""
    with open(f"{FOLDER}/signer") as file:
        secret = file.read()
    raise ValueError(f"no signature with {secret!r}")


def error_of(name: str, signer: Any) -> str:
    """Return the text of the exception that the client of such a job gets."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    builder = PrometheusSink.builder().set_prometheus_remote_write_url(URL).set_element_converter(to_series)
    env.from_collection([1, 2]).sink_to(builder.set_request_signer(signer).build())
    try:
        env.execute(name)
    except Py4JJavaError as error:
        return str(error)
    return "the job did not fail"


def main() -> None:
    """Run all jobs."""
    key = Secret.file(f"{FOLDER}/sigv4")
    uuid = "11111111-2222-3333-4444-555555555555"
    signers = {
        "bearer": BearerAuth(Secret.file(f"{FOLDER}/bearer")),
        "signer": sign,
        "sigv4": SigV4Auth("eu-central-1", access_key=key, secret_key=key),
        "jwt": JwtBearerAuth("http://127.0.0.1:9/token", "client", Secret.file(f"{FOLDER}/jwt")),
        "entra": EntraAuth.certificate(uuid, uuid, f"{FOLDER}/entra"),
    }
    print(json.dumps({name: error_of(name, signer) for name, signer in signers.items()}))


if __name__ == "__main__":
    main()
