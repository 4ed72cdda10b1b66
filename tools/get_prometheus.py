"""
Print the path of a Prometheus 3 executable; fetch one into .cache/prometheus where there is none.

In this order: PROMETHEUS_BINARY, the `prometheus` on PATH if it is version 3, what was fetched before, the official
release, and on Debian the distribution's package, unpacked without being installed.

    get_prometheus.py [--unless-docker]     prints nothing and fetches nothing if Docker can run Prometheus
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import download

from pyflink_prometheus.testing.prometheus import PrometheusServer, PrometheusServerError, find_binary

VERSION = "3.5.3"
RELEASES = os.environ.get("PROMETHEUS_RELEASES", "https://github.com/prometheus/prometheus/releases/download")
TARGET = Path(".cache/prometheus/prometheus")
# Debian's suites that have a Prometheus 3, older ones first.
DEBIAN_SUITES = ("forky", "sid")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armv7"}


def say(message: str) -> None:
    """Tell the user what happens, apart from the result on standard output."""
    print(f"prometheus: {message}", file=sys.stderr)


def fetch_release() -> None:
    """Fetch the official release for this machine."""
    machine = platform.machine()
    name = f"prometheus-{VERSION}.{platform.system().lower()}-{ARCHITECTURES.get(machine, machine)}"
    folder = f"{RELEASES}/v{VERSION}"
    sums = dict(reversed(line.split()) for line in download.text(f"{folder}/sha256sums.txt").splitlines() if line)
    archive = f"{name}.tar.gz"
    if archive not in sums:
        raise download.DownloadError(f"{folder}: there is no {archive}")
    say(f"fetching {folder}/{archive}")
    with tempfile.TemporaryDirectory() as work:
        packed = Path(work, archive)
        download.file(f"{folder}/{archive}", packed, sums[archive])
        with tarfile.open(packed) as files:
            member = files.extractfile(f"{name}/prometheus")
            if member is None:
                raise download.DownloadError(f"{archive} holds no {name}/prometheus")
            unpacked = Path(work, "prometheus")
            with unpacked.open("wb") as out:
                shutil.copyfileobj(member, out)
        install(unpacked)


def fetch_debian_package() -> None:
    """Fetch and unpack Debian's package of a newer suite, from the mirror that apt uses here."""
    mirror = debian_mirror()
    problem = ""
    for suite in DEBIAN_SUITES:
        say(f"fetching the package of Debian {suite}")
        with tempfile.TemporaryDirectory() as work:
            try:
                unpacked = unpack_package("prometheus", suite, mirror, Path(work))
            except subprocess.CalledProcessError as error:
                problem = f"{' '.join(error.cmd[:1])} for {suite}: {error.stderr.strip().splitlines()[-1:]}"
                continue
            install(unpacked / "usr" / "bin" / "prometheus")
            return
    raise download.DownloadError(f"Debian's package: {problem}")


def debian_mirror() -> str:
    """Return the address of the mirror of Debian itself that apt is configured with."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise download.DownloadError("Debian's package: there is no apt here")
    targets = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)").splitlines()
    # Without downloaded lists apt knows no origin; with them, the security archive has another label.
    found = [line.rpartition("|")[2] for line in sorted(set(targets)) if line.startswith("Debian|Debian|")]
    if not found and "ID=debian" in Path("/etc/os-release").read_text().splitlines():
        found = [line.rpartition("|")[2] for line in sorted(set(targets)) if "security" not in line]
    if not found:
        raise download.DownloadError("Debian's package: apt has no Debian mirror configured")
    return found[0]


def unpack_package(package: str, suite: str, mirror: str, work: Path) -> Path:
    """Download a package with apt, in folders of our own so that the system's lists stay as they are; unpack it."""
    for folder in ("lists/partial", "archives/partial", "debs", "unpacked"):
        (work / folder).mkdir(parents=True)
    sources = work / "suite.list"
    sources.write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": str(work / "lists"),
        "Dir::Cache::archives": str(work / "archives"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "10",
        "Acquire::https::Timeout": "10",
        # Mirrors that hold a suite as it was at some time let its signature's dates pass.
        "Acquire::Check-Valid-Until": "false",
        # The folder is ours alone, so apt's own user could not write there.
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    run(*apt, "-oAPT::Update::Error-Mode=any", "update")
    run(*apt, "download", package, cwd=work / "debs")
    for deb in (work / "debs").glob("*.deb"):
        run("dpkg-deb", "-x", str(deb), str(work / "unpacked"))
    return work / "unpacked"


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


def install(executable: Path) -> None:
    """Move an executable to where PrometheusServer looks for it, complete or not at all."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    fresh = TARGET.with_suffix(".new")
    shutil.copyfile(executable, fresh)
    fresh.chmod(0o755)
    fresh.replace(TARGET)


def find_or_fetch() -> Path:
    """Return an executable, fetched if that is what it takes."""
    problems = []
    for fetch in (None, fetch_release, fetch_debian_package):
        try:
            if fetch is not None:
                fetch()
            return find_binary()
        except (PrometheusServerError, download.DownloadError) as error:
            problems.append(f"  {error}")
    advice = "Put a `prometheus` of version 3 on PATH, or start Docker."
    sys.exit("\n".join(["No Prometheus 3 can be had:", *problems, advice]))


def main() -> None:
    """Print where it is, unless Docker makes one unnecessary."""
    if "--unless-docker" not in sys.argv[1:] or PrometheusServer.default_kind() != "docker":
        print(find_or_fetch())


if __name__ == "__main__":
    main()
