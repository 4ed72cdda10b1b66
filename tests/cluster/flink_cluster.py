"""A standalone Flink cluster for a test, started with the scripts in the apache-flink wheel."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyflink
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FLINK_HOME = Path(pyflink.__file__).parent
# No test depends on the machine's speed: failures are detected directly, and the time limit, far longer than anything
# takes, is only for things that hang. pytest's own limit is longer still.
PATIENCE_SECONDS = 600.0
STOP_SECONDS = 20.0
# Each request costs a cluster a few milliseconds of a core, so requests become rarer when a result takes longer.
POLL_SECONDS, POLL_SECONDS_AT_MOST = 0.1, 0.5
TAIL_LINES = 40
# A file in the folder of the shared cluster: the classes that its TaskManager has loaded.
LOADED_CLASSES = "classes"

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class FlinkClusterError(RuntimeError):
    """A cluster that does not work as it should, with the ends of its logs."""


@dataclass(frozen=True)
class Run:
    """The result of a `flink` command."""

    exit_status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything that the command printed."""
        return self.stdout + self.stderr

    @property
    def job_id(self) -> str:
        """The submitted job's id."""
        _, found, rest = self.output.partition("JobID ")
        if not found:
            raise FlinkClusterError(f"no job was submitted:\n{self.output}")
        return rest[:32]


@dataclass
class FlinkCluster:
    """
    A JobManager and a TaskManager as processes on this machine, on loopback and on free ports.

    Several clusters may run at once. Use as a context manager, or call :meth:`start` and :meth:`stop`.

    :param folder: the folder for configuration, logs and checkpoints.
    :param slots: the number of slots of each TaskManager.
    :param conf: more settings for config.yaml, by their full names.
    :param environment: more environment variables for Flink's processes.
    :param loads_python_once: put PyFlink's jar into Flink's own class path, as docs/operations.md advises. Otherwise
        each job brings the jar, and a TaskManager loads it anew for each job.
    :param python: the interpreter of client and workers, whose environment has Flink. Default: this one.
    :param supervised: replace a TaskManager that dies on its own, as Kubernetes does; otherwise that is an error.
    :ivar died: the names of TaskManagers that died on their own.
    """

    folder: Path
    slots: int = 2
    conf: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    loads_python_once: bool = True
    python: Path = Path(sys.executable)
    supervised: bool = False
    died: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._home = _flink_home(self.python)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_dir = self.folder / "log"
        self.checkpoint_dir = self.folder / "checkpoints"
        rpc_port, rest_port = free_ports(2)
        self.rest_url = f"http://127.0.0.1:{rest_port}"
        self._conf_dir = self.folder / "conf"
        self._lib_dir = self.folder / "lib"
        self._jobmanager: _FlinkProcess | None = None
        self._taskmanagers: list[_FlinkProcess] = []
        self._workers_seen: set[_Process] = set()
        self._write_configuration(rpc_port, rest_port)
        self._link_jars()

    def __enter__(self) -> FlinkCluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, taskmanagers: int = 1) -> None:
        """Start the JobManager and TaskManagers, and wait until all slots are available."""
        try:
            self._jobmanager = self._spawn("jobmanager")
            for _ in range(taskmanagers):
                self._taskmanagers.append(self._spawn("taskmanager"))
            self.wait_for_slots(taskmanagers * self.slots)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all of the cluster's processes, including Python workers; the logs stay."""
        self.python_worker_pids()
        processes = [each for each in [*self._taskmanagers, self._jobmanager] if each is not None]
        for each in processes:
            each.process.terminate()
        for each in processes:
            _wait_or_kill(each.process)
        self._taskmanagers, self._jobmanager = [], None
        # A worker outlives a killed TaskManager if it is busy with something that does not end.
        for worker in self._workers_seen & _processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def kill_taskmanager(self, index: int = -1) -> None:
        """Kill a TaskManager as a crash does; its Python workers are left to notice."""
        self.python_worker_pids()
        process = self._taskmanagers.pop(index).process
        process.kill()
        process.wait()

    def kill_jobmanager(self) -> None:
        """Kill the JobManager as a crash does; without high availability all jobs are lost with it."""
        jobmanager, self._jobmanager = self._jobmanager, None
        if jobmanager is not None:
            jobmanager.process.kill()
            jobmanager.process.wait()

    def start_jobmanager(self) -> None:
        """Start another JobManager, which the TaskManagers find on their own."""
        self._jobmanager = self._spawn("jobmanager")
        self.wait_for_slots(len(self._taskmanagers) * self.slots)

    def latest_checkpoint(self, job_id: str) -> str | None:
        """Return a job's newest complete checkpoint that is still on disk, to start a job from."""
        complete = [each.parent for each in (self.checkpoint_dir / job_id).glob("chk-*/_metadata")]
        return str(max(complete, key=lambda each: int(each.name[4:]))) if complete else None

    def start_taskmanager(self) -> None:
        """Start one more TaskManager; :meth:`wait_for_slots` waits for it."""
        self._taskmanagers.append(self._spawn("taskmanager"))

    def java_pids(self) -> list[int]:
        """Return the processes of the JobManager and the TaskManagers."""
        return [each.process.pid for each in [self._jobmanager, *self._taskmanagers] if each is not None]

    def python_worker_pids(self) -> list[int]:
        """Return the processes that run Python functions for the TaskManagers now."""
        everything = _processes()
        ours = {each.process.pid for each in self._taskmanagers}
        # Parents precede their children only by chance, so repeat until no more are found.
        while True:
            found = {each.pid for each in everything if each.parent in ours} - ours
            if not found:
                break
            ours |= found
        workers = {each for each in everything if each.pid in ours and _WORKER in each.command}
        self._workers_seen |= workers
        return sorted(each.pid for each in workers)

    def run_job(
        self,
        job: Path,
        *arguments: str,
        options: Sequence[str] = (),
        timeout: float = PATIENCE_SECONDS,
        check: bool = True,
    ) -> Run:
        """
        Submit a Python job with ``flink run``.

        :param job: the script.
        :param arguments: the script's arguments.
        :param options: of ``flink run``, such as ``-d`` (return once submitted), ``-pyfs PATH``, ``-s SAVEPOINT``.
        :param timeout: in seconds, for the whole run.
        :param check: raise if it fails.
        """
        python = ["-pyexec", str(self.python), "-pyclientexec", str(self.python)]
        return self.flink("run", *options, *python, "-py", str(job), *arguments, timeout=timeout, check=check)

    def flink(self, *arguments: str, timeout: float = PATIENCE_SECONDS, check: bool = True) -> Run:
        """Run the ``flink`` command against this cluster, such as ``flink("stop", "-p", folder, job_id)``."""
        command = [str(self._home / "bin" / "flink"), *arguments]
        with subprocess.Popen(
            command, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                stdout, stderr = self._communicate(process, timeout)
            except BaseException:
                process.kill()
                raise
        run = Run(process.returncode, stdout, stderr)
        if check and run.exit_status != 0:
            raise FlinkClusterError(f"{' '.join(command)} ended with {run.exit_status}:\n{run.output}")
        return run

    def start_client(self, script: Path) -> subprocess.Popen[str]:
        """Start a Python program that submits jobs itself, as its standard input says, until that input ends."""
        return subprocess.Popen(
            [str(self.python), str(script)],
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def rest(self, path: str, **parameters: str) -> Any:
        """
        Return the response of Flink's REST API, for example to ``/jobs/overview``.

        A caller that waits for something polls this, and so learns at once if it will never happen.

        :raises FlinkClusterError: if one of the cluster's processes has died.
        """
        self.raise_if_dead()
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with _OPENER.open(f"{self.rest_url}{path}{query}", timeout=30) as response:
            return json.load(response)

    def raise_if_dead(self) -> None:
        """Raise, with the ends of its logs, if a process has died that was not ended on purpose."""
        for taskmanager in [*self._taskmanagers] if self.supervised else []:
            if taskmanager.process.poll() is not None:
                self._taskmanagers.remove(taskmanager)
                self.died.append(taskmanager.name)
                self.start_taskmanager()
        for each in [self._jobmanager, *self._taskmanagers]:
            if each is not None and each.process.poll() is not None:
                status, last_lines = each.process.returncode, self._last_lines(each.name)
                raise FlinkClusterError(f"{each.name} has died, with exit status {status}:\n{last_lines}")

    def cancel(self, job_id: str) -> None:
        """Cancel a job, without waiting for its end."""
        request = urllib.request.Request(f"{self.rest_url}/jobs/{job_id}?mode=cancel", method="PATCH")
        with _OPENER.open(request, timeout=30):
            pass

    def stop_with_savepoint(self, job_id: str, *, drain: bool = False, timeout: float = PATIENCE_SECONDS) -> str:
        """
        Stop a job with the request that ``flink stop`` makes, once all of it runs, and return the savepoint's path.

        :param drain: let windows and timers end first.
        :raises FlinkClusterError: if it is not stopped.
        """
        self.wait_for_running_tasks(job_id)
        request = urllib.request.Request(
            f"{self.rest_url}/jobs/{job_id}/stop",
            data=json.dumps({"targetDirectory": str(self.folder / "savepoints"), "drain": drain}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=30) as response:
                trigger = json.load(response)["request-id"]
        except urllib.error.HTTPError as error:
            with error:
                raise FlinkClusterError(f"job {job_id} is not stopped: {error.read()!r}") from error

        def operation_if_completed() -> dict[str, Any] | None:
            savepoint = self.rest(f"/jobs/{job_id}/savepoints/{trigger}")
            return savepoint["operation"] if savepoint["status"]["id"] == "COMPLETED" else None

        operation = wait_for(operation_if_completed, f"a savepoint of job {job_id}", timeout)
        if "location" not in operation:
            raise FlinkClusterError(f"job {job_id} is not stopped: {operation['failure-cause']['stack-trace']}")
        return str(operation["location"])

    def job_state(self, job_id: str) -> str:
        """Return a job's state, such as RUNNING or FINISHED."""
        # Not the job's full details: for those, Flink fetches all metrics of its subtasks.
        return str(self.rest(f"/jobs/{job_id}/status")["status"])

    def wait_for_job(self, job_id: str, *states: str, timeout: float = PATIENCE_SECONDS) -> str:
        """Wait until a job is in one of these states (default: FINISHED); raise if it ended in another one."""
        wanted = states or ("FINISHED",)

        def state_if_final() -> str | None:
            state = self.job_state(job_id)
            over = state in ("FINISHED", "FAILED", "CANCELED")
            # Everything else that Flink shows of a job may be outdated.
            if over and self.rest(f"/jobs/{job_id}")["state"] != state:
                return None
            if state in wanted:
                return state
            if over:
                raise FlinkClusterError(f"the job is {state}, not {wanted}:\n{self.root_exception(job_id)}")
            return None

        return wait_for(state_if_final, f"job {job_id} in {wanted}", timeout)

    def wait_for_running_tasks(self, job_id: str, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until every subtask of a job runs or has finished."""

        def all_run() -> bool:
            vertices = self.rest(f"/jobs/{job_id}")["vertices"]
            tasks = [(each["tasks"], each["parallelism"]) for each in vertices]
            return bool(tasks) and all(each["RUNNING"] + each["FINISHED"] == count for each, count in tasks)

        wait_for(all_run, f"running tasks of job {job_id}", timeout)

    def completed_checkpoints(self, job_id: str) -> int:
        """Return the number of a job's completed checkpoints."""
        return int(self.rest(f"/jobs/{job_id}/checkpoints")["counts"]["completed"])

    def root_exception(self, job_id: str) -> str:
        """Return the stack trace of a job's last failure, "" if there was none."""
        entries = self.rest(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return str(entries[0]["stacktrace"]) if entries else ""

    def metrics(self, job_id: str, name: str, timeout: float = PATIENCE_SECONDS) -> dict[str, str]:
        """
        Return the metrics of all subtasks of a job whose id contains ``name``, by ``<vertex>/<id>``.

        Flink fetches metrics on request, so the first responses are empty or old: this waits for metrics.
        """

        def found() -> dict[str, str]:
            values = {}
            for vertex in self.rest(f"/jobs/{job_id}")["vertices"]:
                path = f"/jobs/{job_id}/vertices/{vertex['id']}/metrics"
                names = [each["id"] for each in self.rest(path) if name in each["id"]]
                if names:
                    for each in self.rest(path, get=",".join(names)):
                        values[f"{vertex['id']}/{each['id']}"] = each["value"]
            return values

        return wait_for(found, f"metrics with {name} in their names", timeout)

    def wait_for_slots(self, slots: int, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until the cluster has this many slots."""

        def there() -> bool:
            try:
                return bool(self.rest("/overview")["slots-total"] >= slots)
            except (OSError, ValueError):  # not up yet
                return False

        wait_for(there, f"{slots} slots", timeout)

    def logs(self) -> str:
        """Return the logs of all of the cluster's processes."""
        return "\n".join(f"--- {each.name}\n{each.read_text(errors='replace')}" for each in self.log_files())

    def log_files(self) -> list[Path]:
        """Return the files with all logs and with the processes' output."""
        return sorted(each for each in self.log_dir.glob("*") if each.is_file())

    def _last_lines(self, name: str) -> str:
        """Return the last lines that a process logged and printed."""
        tails = []
        for file in self.log_files():
            if name in file.name:
                lines = file.read_text(errors="replace").splitlines()
                tails.append("\n".join([f"--- the end of {file.name}", *lines[-TAIL_LINES:]]))
        return "\n".join(tails)

    def _communicate(self, process: subprocess.Popen[str], timeout: float) -> tuple[str, str]:
        """Return a process's output until it ends, unless the cluster dies first."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return process.communicate(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                self.raise_if_dead()
                if time.monotonic() > deadline:
                    raise

    def _spawn(self, script: str) -> _FlinkProcess:
        # In the foreground each script replaces itself with Java by exec, so our child process is the JVM.
        name = f"{script}-{len(list(self.log_dir.glob(f'{script}-*.out')))}"
        with (self.log_dir / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                [str(self._home / "bin" / f"{script}.sh"), "start-foreground"],
                env={**self._environment(), "FLINK_IDENT_STRING": name},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        return _FlinkProcess(name, process)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            # PyFlink sometimes starts a plain `python`.
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "FLINK_CONF_DIR": str(self._conf_dir),
            "FLINK_LOG_DIR": str(self.log_dir),
            "FLINK_LIB_DIR": str(self._lib_dir),
            "FLINK_PID_DIR": str(self.folder),
            "JAVA_TOOL_OPTIONS": " ".join([os.environ.get("JAVA_TOOL_OPTIONS", ""), *_JAVA_OPTIONS]).strip(),
            **self.environment,
        }

    def _link_jars(self) -> None:
        """Make a folder with the jars of Flink's class path."""
        self._lib_dir.mkdir(exist_ok=True)
        jars = [*(self._home / "lib").glob("*.jar")]
        if self.loads_python_once:
            jars += (self._home / "opt").glob("flink-python-*.jar")
        for jar in jars:
            (self._lib_dir / jar.name).symlink_to(jar)

    def _write_configuration(self, rpc_port: int, rest_port: int) -> None:
        """Copy the wheel's configuration, which has the options that its Java needs, and add ours."""
        self.log_dir.mkdir(exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        shutil.copytree(self._home / "conf", self._conf_dir, dirs_exist_ok=True)
        yaml = YAML()
        yaml.width = 1_000_000  # Flink's scripts read one line per option
        file = self._conf_dir / "config.yaml"
        settings = yaml.load(file)
        ours = {
            "jobmanager.rpc.port": rpc_port,
            "rest.port": rest_port,
            "rest.bind-port": str(rest_port),
            "taskmanager.numberOfTaskSlots": self.slots,
            "taskmanager.memory.process.size": "1400m",
            "jobmanager.memory.process.size": "1100m",
            "io.tmp.dirs": str(self.folder / "tmp"),
            "execution.checkpointing.dir": self.checkpoint_dir.as_uri(),
            # So that a lost TaskManager is noticed, and metrics arrive, while a test waits. A TaskManager that is
            # only too busy to respond gets some time.
            "heartbeat.interval": "500 ms",
            "heartbeat.timeout": "30 s",
            "metrics.fetcher.update-interval": "200 ms",
            "web.refresh-interval": 500,
            **self.conf,
        }
        for name, value in ours.items():
            *groups, last = name.split(".")
            group = settings
            for each in groups:
                group = group.setdefault(each, {})
            group[last] = value
        yaml.dump(settings, file)


def wait_for(condition: Callable[[], Any], what: str, timeout: float) -> Any:
    """Call a function until it returns a true value, and return that; raise when the time is over."""
    deadline = time.monotonic() + timeout
    pause = POLL_SECONDS
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise FlinkClusterError(f"waited {timeout:.0f} s for {what}")
        time.sleep(pause)
        pause = min(1.1 * pause, POLL_SECONDS_AT_MOST)


def _flink_home(python: Path) -> Path:
    """Return Flink's folder in the environment of an interpreter."""
    if python == Path(sys.executable):
        return FLINK_HOME
    command = [str(python), "-I", "-c", "import pyflink; print(pyflink.__path__[0])"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


#: For processes of a minute or two: they end before the second compiler, or verifying Flink's own classes, pays off.
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
_JAVA_OPTIONS = (
    SHORT_LIVED,
    # One that has run out of memory may live on without doing anything.
    "-XX:+ExitOnOutOfMemoryError",
)


class _FlinkProcess(NamedTuple):
    """One of Flink's processes; the names of its logs contain its name."""

    name: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class _Process:
    """A process on this machine; its start time makes it unique even when ids are reused."""

    pid: int
    parent: int
    started: str
    command: str = field(compare=False)


_WORKER = "pyflink.fn_execution.beam"


def _processes() -> set[_Process]:
    """Return this machine's processes."""
    return set(_linux_processes() if Path("/proc/self/stat").exists() else _ps_processes())


def _linux_processes() -> Iterator[_Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        # The process may end while we look.
        with contextlib.suppress(OSError):
            # The name in parentheses may contain anything; the third field is the one after it.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            yield _Process(pid=int(folder.name), parent=int(fields[1]), started=fields[19], command=command)


def _ps_processes() -> Iterator[_Process]:
    columns = ["pid=", "ppid=", "lstart=", "command="]
    command = ["ps", "-A", "-ww", *(part for each in columns for part in ("-o", each))]
    listing = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        pid, parent, *rest = line.split(None, 7)
        if len(rest) == 6:
            yield _Process(pid=int(pid), parent=int(parent), started=" ".join(rest[:5]), command=rest[5])


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports that are free and stay free until Flink binds them: the system does not assign them."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(15_000, 32_000), 1_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise FlinkClusterError(f"found {len(found)} free ports of {count}")
