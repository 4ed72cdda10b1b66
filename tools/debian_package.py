"""Downloads of Debian packages, also from other suites than this machine's, unpacked without being installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import download


def mirror() -> str:
    """Return the address of the Debian mirror that apt is configured with."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise download.DownloadError("Debian package: apt is not available")
    targets = _run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)").splitlines()
    # Without downloaded lists apt has no origin; with them, the security archive has another label.
    found = [line.rpartition("|")[2] for line in sorted(set(targets)) if line.startswith("Debian|Debian|")]
    if not found and "ID=debian" in Path("/etc/os-release").read_text().splitlines():
        found = [line.rpartition("|")[2] for line in sorted(set(targets)) if "security" not in line]
    if not found:
        raise download.DownloadError("Debian package: apt has no Debian mirror configured")
    return found[0]


def unpack(package: str, suite: str, mirror: str, work: Path) -> Path:
    """
    Download a package with apt and unpack it, in separate folders so that the system's lists stay unchanged.

    :return: the folder with the package's files, under ``work``.
    """
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
        # Mirrors that freeze a suite at some date let its signature expire.
        "Acquire::Check-Valid-Until": "false",
        # apt's own user could not write to the folder.
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    _run(*apt, "-oAPT::Update::Error-Mode=any", "update")
    _run(*apt, "download", package, cwd=work / "debs")
    for deb in (work / "debs").glob("*.deb"):
        _run("dpkg-deb", "-x", str(deb), str(work / "unpacked"))
    return work / "unpacked"


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return its output."""
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        raise download.DownloadError(f"Debian package: {command[0]}: {last}") from error
