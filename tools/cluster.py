"""
Start the cluster of docker-compose.yml, submit the pipeline, and print the addresses; `make cluster` runs this.

Run it again to update the cluster. It submits the pipeline only if no job is running.

    cluster.py [--no-pipeline]

For ports and other variables see the first lines of docker-compose.yml. Set COMPOSE_PROJECT_NAME to start another
cluster beside the first.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
RECORDING = Path(os.environ.get("RECORDING_FOLDER") or ROOT / ".cache" / "recording") / "flights.jsonl"
DASHBOARDS = ROOT / "cluster" / "grafana" / "dashboards"
BUILD_LOG = ROOT / ".cache" / "cluster" / "build.log"

# Of each service that publishes a port: the variable that sets the port, and its default.
PORTS = {"jobmanager": ("FLINK_PORT", 8081), "prometheus": ("PROMETHEUS_PORT", 9090), "grafana": ("GRAFANA_PORT", 3000)}
PIPELINE = (
    "--recording=/opt/recording/flights.jsonl",
    "--remote-write-url=http://prometheus:9090/api/v1/write",
    "--parallelism=2",
    "--speed=60",
    "--repeat=0",
    "--native-histograms",
)
WRITTEN = "sum(flink_taskmanager_job_task_operator_Prometheus_numSamplesOut)"
READY_SECONDS = 180
FIRST_SAMPLES_SECONDS = 240
POLL_SECONDS = 0.5

_BEGAN = time.monotonic()
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    """Start the cluster, submit the pipeline and print the addresses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--no-pipeline", action="store_true", help="do not submit the pipeline")
    args = parser.parse_args()
    try:
        check_docker()
        check_ports()
        services = available_services()
        build_image()
        start(services)
        if not args.no_pipeline:
            submit_pipeline()
        print_addresses("grafana" in services)
    except OSError as error:
        fail(f"a service stopped responding: {error}\n`docker compose ps --all` shows which one")
    except KeyboardInterrupt:
        sys.exit(130)


def check_docker() -> None:
    """Fail unless a Docker engine and Docker Compose are available."""
    try:
        engine = docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        fail("install Docker with its compose plugin, or Docker Desktop: there is no `docker` on PATH")
    if engine.returncode != 0:
        fail(
            "start the Docker engine, and check your permission to use it: it does not respond\n"
            f"{last_lines(engine.stderr, 2)}"
        )
    if docker("compose", "version").returncode != 0:
        fail("install Docker's compose plugin (package docker-compose-plugin or docker-compose-v2)")


def check_ports() -> None:
    """Fail if a port is taken, unless by this cluster."""
    ours = compose("ps", "--services").stdout.split()
    for service, (variable, _) in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if service not in ours:
                    probe.bind(("127.0.0.1", port_of(service)))
            except OSError:
                taken = port_of(service)
                fail(f"port {taken} for {service} is taken; set another one: make cluster {variable}={taken + 1}")


def available_services() -> list[str]:
    """Pull missing images, and return the services that can run; all except Grafana are required."""
    config = json.loads(checked(compose("config", "--format", "json"), "docker-compose.yml is not valid").stdout)
    services = config["services"]
    unavailable = {}
    for name, service in services.items():
        image = service["image"]
        if "build" in service or service.get("pull_policy") == "never" or has_image(image):
            continue
        say(f"pulling {image}")
        pull = docker("pull", "--quiet", image)
        if pull.returncode != 0:
            unavailable[name] = f"cannot pull {image}: {last_lines(pull.stderr, 1)}"
    problem = unavailable.pop("grafana", None)
    if unavailable:
        fail("\n".join([*unavailable.values(), "Make `docker pull` work for it, then run `make cluster` again."]))
    if problem:
        say(f"continuing without Grafana: {problem}")
    return [name for name in services if name != "grafana" or problem is None]


def build_image() -> None:
    """Build the image with Flink and this package, or update it."""
    say(f"building the image with Flink and this package (some minutes the first time; log: {shown(BUILD_LOG)})")
    BUILD_LOG.parent.mkdir(parents=True, exist_ok=True)
    with BUILD_LOG.open("w") as log:
        build = subprocess.run(
            ["docker", "compose", "--progress=plain", "build"], cwd=ROOT, stdout=log, stderr=log, check=False
        )
    if build.returncode != 0:
        fail(f"building the image failed:\n{last_lines(BUILD_LOG.read_text(errors='replace'), 12)}")


def start(services: list[str]) -> None:
    """Start containers and wait until all are healthy."""
    say(f"starting {', '.join(services)}")
    # The containers run as other users than the one who fetched the recording.
    if RECORDING.exists():
        RECORDING.parent.chmod(0o755)
        RECORDING.chmod(0o644)
    up = compose("up", "--detach", "--wait", f"--wait-timeout={READY_SECONDS}", *services)
    if up.returncode != 0:
        logs = compose("logs", "--tail=8", "--no-color").stdout
        fail(f"the cluster did not start:\n{last_lines(up.stderr, 3)}\nThe last lines of the containers' logs:\n{logs}")


def submit_pipeline() -> None:
    """Submit jobs/pipeline_sql.py unless a job is running, and wait until Prometheus has samples from it."""
    running = running_jobs()
    if running:
        say(f"not submitting the pipeline, because a job is running: {', '.join(running)}")
        return
    if not RECORDING.exists():
        fail(f"run `make recording`: there is no {RECORDING}")
    say("submitting the pipeline, jobs/pipeline_sql.py")
    run = ("flink", "run", "--detached", "-pyfs", "/opt/jobs", "-py", "/opt/jobs/pipeline_sql.py", *PIPELINE)
    submitted = compose("exec", "-T", "jobmanager", *run)
    output = submitted.stdout + submitted.stderr
    found = re.search(r"JobID (\w{32})", output)
    if submitted.returncode != 0 or found is None:
        fail(f"the pipeline was not accepted:\n{last_lines(output, 15)}")
    say("the pipeline is running; waiting for its first samples in Prometheus")
    samples = wait_for(lambda: samples_written(found[1]), FIRST_SAMPLES_SECONDS)
    if samples is None:
        advice = "check `docker compose logs taskmanager`"
        fail(f"the pipeline is running, but Prometheus has no samples of it after {FIRST_SAMPLES_SECONDS} s: {advice}")
    say(f"the pipeline has written {samples:,} samples so far; it will catch up with the present within minutes")


def samples_written(job_id: str) -> int:
    """Return the number of samples that the sink has written, by Prometheus's last scrape; 0 if not known yet."""
    failure = job_failure(job_id)
    if failure is not None:
        fail(f"the pipeline failed:\n{failure}")
    result = get(f"{url_of('prometheus')}/api/v1/query?{urllib.parse.urlencode({'query': WRITTEN})}")["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def job_failure(job_id: str) -> str | None:
    """Return why a job has failed or keeps restarting, or None if it does neither."""
    flink = url_of("jobmanager")
    if get(f"{flink}/jobs/{job_id}")["state"] not in ("FAILING", "FAILED", "RESTARTING"):
        return None
    entries = get(f"{flink}/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    trace = entries[0]["stacktrace"] if entries else "no reason given"
    # The helpful message is Python's own, in the middle of Java's stack trace.
    python = re.findall(r"^(?!java\.|org\.|\s)[A-Za-z_][\w.]*(?:Error|Exception): .+", trace, re.MULTILINE)
    return python[0] if python else last_lines("\n".join(trace.splitlines()[:6]), 6)


def running_jobs() -> list[str]:
    """Return the names of the running jobs."""
    jobs = get(f"{url_of('jobmanager')}/jobs/overview")["jobs"]
    return [job["name"] for job in jobs if job["state"] not in ("FINISHED", "FAILED", "CANCELED")]


def print_addresses(with_grafana: bool) -> None:
    """Print the addresses of the services, with examples of what to look at."""
    flink, prometheus = url_of("jobmanager"), url_of("prometheus")
    print(f"""
Flink        {flink}   the job's steps and their load, its checkpoints
Prometheus   {prometheus}   the flights, and Flink's metrics; example queries:
               flight_altitude_feet{{operator="Air France"}}     altitudes of its aircraft
               flight_ground_speed_knots_mean                  mean speed above each place
               rate(flink_taskmanager_job_task_operator_Prometheus_numSamplesOut[1m])
Grafana      {f"{url_of('grafana')}   no login needed" if with_grafana else "not available, see above"}""")
    for dashboard in dashboards() if with_grafana else ():
        print(f"               {url_of('grafana')}/d/{dashboard['uid']}   {dashboard['title']}")
    print("""
make cluster TASKMANAGERS=2      adds a second TaskManager
docker compose logs -f           shows all logs
make cluster-down                stops the cluster and deletes its data""")


def dashboards() -> list[dict[str, Any]]:
    """Return Grafana's dashboards."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(DASHBOARDS.glob("*.json"))]


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """Call a function until it returns a true value, and return that, or None after the given seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(POLL_SECONDS)
    return None


def port_of(service: str) -> int:
    """Return the published port of a service."""
    variable, default = PORTS[service]
    return int(os.environ.get(variable) or default)


def url_of(service: str) -> str:
    """Return the URL of a service."""
    return f"http://127.0.0.1:{port_of(service)}"


def get(url: str) -> Any:
    """Return the JSON response of a service."""
    with _OPENER.open(url, timeout=30) as response:
        return json.load(response)


def has_image(image: str) -> bool:
    """Return whether the engine has an image."""
    return docker("image", "inspect", image).returncode == 0


def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` with this project's file."""
    return docker("compose", *arguments)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `docker` and return the result."""
    return subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def checked(run: subprocess.CompletedProcess[str], problem: str) -> subprocess.CompletedProcess[str]:
    """Return a successful run; exit with its error output if it failed."""
    if run.returncode != 0:
        fail(f"{problem}:\n{last_lines(run.stderr, 5)}")
    return run


def last_lines(text: str, count: int) -> str:
    """Return the last lines of a program's output that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def shown(path: Path) -> str:
    """Return a path relative to the project."""
    return str(path.relative_to(ROOT))


def say(message: str) -> None:
    """Print a progress message with the elapsed time."""
    print(f"{time.monotonic() - _BEGAN:4.0f} s  {message}", flush=True)


def fail(message: str) -> NoReturn:
    """Exit with an error message."""
    sys.exit(f"cluster: {message}")


if __name__ == "__main__":
    main()
