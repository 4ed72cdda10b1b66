"""
Submit ``steady.py`` repeatedly from one process: each line of standard input is a job, each line of output its id.

Starting a JVM and a client and loading the planner, for which ``flink run`` takes seconds, happens only once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import cloudpickle
import steady
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway


def submitted(request: dict[str, Any]) -> str:
    """
    Submit a job to the cluster of this process's Flink configuration, and return the job's id.

    :param request: the ``arguments`` of ``steady.py``, and the path of a ``savepoint`` or ``None``.
    """
    flink = get_gateway().jvm.org.apache.flink
    settings = flink.configuration.GlobalConfiguration.loadConfiguration()
    settings.addAll(steady.configuration()._j_configuration)
    settings.setString("execution.target", "remote")
    if request["savepoint"] is not None:
        settings.setString("execution.savepoint.path", request["savepoint"])
    env = StreamExecutionEnvironment(flink.streaming.api.environment.StreamExecutionEnvironment(settings))
    steady.add_job(env, steady.options_of(request["arguments"]))
    return str(env.execute_async("steady").get_job_id())


def main() -> None:
    """Serve requests until the input ends."""
    with os.fdopen(os.dup(1), "w") as responses:
        os.dup2(2, 1)  # other output must not look like a response
        cloudpickle.register_pickle_by_value(steady)  # so that workers need not import it
        for line in sys.stdin:
            try:
                response = {"job_id": submitted(json.loads(line))}
            except Exception:
                response = {"error": traceback.format_exc()}
            print(json.dumps(response), file=responses, flush=True)


if __name__ == "__main__":
    main()
