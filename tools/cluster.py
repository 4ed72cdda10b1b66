"""
Bring up the cluster of docker-compose.yml, submit the pipeline to it, and say where to look; `make cluster` runs this.

Done again, it brings the cluster up to date, and submits the pipeline only if no job is running.

    cluster.py [--no-pipeline]

The variables that docker-compose.yml names in its first lines change ports and more; COMPOSE_PROJECT_NAME makes it
another cluster beside the first.
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

# The service that publishes it, the variable that changes it, and what it is by default.
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
    """Do all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--no-pipeline", action="store_true", help="submit nothing")
    args = parser.parse_args()
    try:
        check_docker()
        check_ports()
        services = available_services()
        build_image()
        start(services)
        if not args.no_pipeline:
            submit_pipeline()
        say_where_to_look("grafana" in services)
    except OSError as error:
        fail(f"one of the services does not answer any more: {error}\n`docker compose ps --all` shows which")
    except KeyboardInterrupt:
        sys.exit(130)


def check_docker() -> None:
    """Fail unless there are a Docker engine and its compose."""
    try:
        engine = docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        fail("there is no `docker` here: install Docker with its compose plugin, or Docker Desktop")
    if engine.returncode != 0:
        fail(f"Docker's engine does not answer; is it running, and may you use it?\n{last_lines(engine.stderr, 2)}")
    if docker("compose", "version").returncode != 0:
        fail("docker has no compose: install its plugin (package docker-compose-plugin or docker-compose-v2)")


def check_ports() -> None:
    """Fail if somebody else has a port; a cluster of ours that is up may have it."""
    ours = compose("ps", "--services").stdout.split()
    for service, (variable, _) in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if service not in ours:
                    probe.bind(("127.0.0.1", port_of(service)))
            except OSError:
                taken = port_of(service)
                fail(
                    f"port {taken}, which is for {service}, is taken on this machine; "
                    f"take another one: make cluster {variable}={taken + 1}"
                )


def available_services() -> list[str]:
    """Pull the images that are not there, and return the services that can run; all but Grafana must."""
    config = json.loads(checked(compose("config", "--format", "json"), "docker-compose.yml is not understood").stdout)
    services = config["services"]
    unavailable = {}
    for name, service in services.items():
        image = service["image"]
        if "build" in service or service.get("pull_policy") == "never" or has_image(image):
            continue
        say(f"pulling {image}")
        pull = docker("pull", "--quiet", image)
        if pull.returncode != 0:
            unavailable[name] = f"{image} cannot be pulled: {last_lines(pull.stderr, 1)}"
    problem = unavailable.pop("grafana", None)
    if unavailable:
        fail("\n".join([*unavailable.values(), "Once `docker pull` works for it, `make cluster` does."]))
    if problem:
        say(f"going on without Grafana: {problem}")
    return [name for name in services if name != "grafana" or problem is None]


def build_image() -> None:
    """Build Flink's image, or bring it up to date with the package in this folder."""
    say(f"building the image with Flink and this package (some minutes the first time; {shown(BUILD_LOG)})")
    BUILD_LOG.parent.mkdir(parents=True, exist_ok=True)
    with BUILD_LOG.open("w") as log:
        build = subprocess.run(
            ["docker", "compose", "--progress=plain", "build"], cwd=ROOT, stdout=log, stderr=log, check=False
        )
    if build.returncode != 0:
        fail(f"the image cannot be built:\n{last_lines(BUILD_LOG.read_text(errors='replace'), 12)}")


def start(services: list[str]) -> None:
    """Start containers and wait until all are healthy."""
    say(f"starting {', '.join(services)}")
    # Those who run in the containers are others than who fetched it.
    if RECORDING.exists():
        RECORDING.parent.chmod(0o755)
        RECORDING.chmod(0o644)
    up = compose("up", "--detach", "--wait", f"--wait-timeout={READY_SECONDS}", *services)
    if up.returncode != 0:
        logs = compose("logs", "--tail=8", "--no-color").stdout
        fail(f"the cluster does not come up:\n{last_lines(up.stderr, 3)}\nThe containers' last lines:\n{logs}")


def submit_pipeline() -> None:
    """Submit jobs/pipeline.py unless a job runs, and wait until Prometheus has something from it."""
    running = running_jobs()
    if running:
        say(f"not submitting the pipeline, since there is a job: {', '.join(running)}")
        return
    if not RECORDING.exists():
        fail(f"there is no {RECORDING}: run `make recording`")
    say("submitting the pipeline, jobs/pipeline.py")
    run = ("flink", "run", "--detached", "-pyfs", "/opt/jobs", "-py", "/opt/jobs/pipeline.py", *PIPELINE)
    submitted = compose("exec", "-T", "jobmanager", *run)
    output = submitted.stdout + submitted.stderr
    found = re.search(r"JobID (\w{32})", output)
    if submitted.returncode != 0 or found is None:
        fail(f"the pipeline was not accepted:\n{last_lines(output, 15)}")
    say("the pipeline runs; waiting until Prometheus has something from it")
    samples = wait_for(lambda: samples_written(found[1]), FIRST_SAMPLES_SECONDS)
    if samples is None:
        advice = "`docker compose logs taskmanager` may say why"
        fail(f"the pipeline runs, but after {FIRST_SAMPLES_SECONDS} s Prometheus knows of no sample from it; {advice}")
    say(f"the pipeline has written {samples:,} samples so far, and goes on; it will be in the present within minutes")


def samples_written(job_id: str) -> int:
    """Return how many samples the sink has written, as Prometheus has scraped it, 0 as long as that is unknown."""
    failure = job_failure(job_id)
    if failure is not None:
        fail(f"the pipeline failed:\n{failure}")
    result = get(f"{url_of('prometheus')}/api/v1/query?{urllib.parse.urlencode({'query': WRITTEN})}")["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def job_failure(job_id: str) -> str | None:
    """Return why a job has failed or fails again and again, None if it does not."""
    flink = url_of("jobmanager")
    if get(f"{flink}/jobs/{job_id}")["state"] not in ("FAILING", "FAILED", "RESTARTING"):
        return None
    entries = get(f"{flink}/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    trace = entries[0]["stacktrace"] if entries else "nothing says why"
    # Python's own message is the one that helps; it stands in the middle of Java's.
    python = re.findall(r"^(?!java\.|org\.|\s)[A-Za-z_][\w.]*(?:Error|Exception): .+", trace, re.MULTILINE)
    return python[0] if python else last_lines("\n".join(trace.splitlines()[:6]), 6)


def running_jobs() -> list[str]:
    """Return the names of the jobs that have not ended."""
    jobs = get(f"{url_of('jobmanager')}/jobs/overview")["jobs"]
    return [job["name"] for job in jobs if job["state"] not in ("FINISHED", "FAILED", "CANCELED")]


def say_where_to_look(with_grafana: bool) -> None:
    """Print the addresses, and what there is to be seen."""
    flink, prometheus = url_of("jobmanager"), url_of("prometheus")
    print(f"""
Flink        {flink}   the job's steps, how busy each is, its checkpoints
Prometheus   {prometheus}   the flights, and what Flink says of itself; ask it for
               flight_altitude_feet{{operator="Air France"}}     where its aircraft are
               flight_ground_speed_knots_mean                  how fast it is above each place
               rate(flink_taskmanager_job_task_operator_Prometheus_numSamplesOut[1m])
Grafana      {f"{url_of('grafana')}   nobody has to log in" if with_grafana else "left out, see above"}""")
    for dashboard in dashboards() if with_grafana else ():
        print(f"               {url_of('grafana')}/d/{dashboard['uid']}   {dashboard['title']}")
    print("""
make cluster TASKMANAGERS=2      puts another TaskManager beside the first
docker compose logs -f           shows what all of them say
make cluster-down                ends it and deletes its data""")


def dashboards() -> list[dict[str, Any]]:
    """Return what Grafana shows."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(DASHBOARDS.glob("*.json"))]


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """Call a function until it returns something true, and return that, or None when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(POLL_SECONDS)
    return None


def port_of(service: str) -> int:
    """Return the port of this machine that a service is published at."""
    variable, default = PORTS[service]
    return int(os.environ.get(variable) or default)


def url_of(service: str) -> str:
    """Return where a service is found."""
    return f"http://127.0.0.1:{port_of(service)}"


def get(url: str) -> Any:
    """Return the JSON at an address of our own."""
    with _OPENER.open(url, timeout=30) as answer:
        return json.load(answer)


def has_image(image: str) -> bool:
    """Say whether the engine has an image."""
    return docker("image", "inspect", image).returncode == 0


def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` on the file in this folder."""
    return docker("compose", *arguments)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `docker`, and return what became of it."""
    return subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def checked(run: subprocess.CompletedProcess[str], problem: str) -> subprocess.CompletedProcess[str]:
    """Return a run that went well; end with what it printed if it did not."""
    if run.returncode != 0:
        fail(f"{problem}:\n{last_lines(run.stderr, 5)}")
    return run


def last_lines(text: str, count: int) -> str:
    """Return the end of what a program printed."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def shown(path: Path) -> str:
    """Return a path as it is best read, from here."""
    return str(path.relative_to(ROOT))


def say(message: str) -> None:
    """Tell the user what happens, and after how long."""
    print(f"{time.monotonic() - _BEGAN:4.0f} s  {message}", flush=True)


def fail(message: str) -> NoReturn:
    """End, with what is wrong and what to do about it."""
    sys.exit(f"cluster: {message}")


if __name__ == "__main__":
    main()
