"""Fetch a package of Debian, also of another suite than this machine's, and unpack it without installing it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import download


def mirror() -> str:
    """Return the address of the mirror of Debian itself that apt is configured with."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise download.DownloadError("Debian's package: there is no apt here")
    targets = _run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)").splitlines()
    # Without downloaded lists apt knows no origin; with them, the security archive has another label.
    found = [line.rpartition("|")[2] for line in sorted(set(targets)) if line.startswith("Debian|Debian|")]
    if not found and "ID=debian" in Path("/etc/os-release").read_text().splitlines():
        found = [line.rpartition("|")[2] for line in sorted(set(targets)) if "security" not in line]
    if not found:
        raise download.DownloadError("Debian's package: apt has no Debian mirror configured")
    return found[0]


def unpack(package: str, suite: str, mirror: str, work: Path) -> Path:
    """
    Download a package with apt, in folders of our own so that the system's lists stay as they are; unpack it.

    :return: the folder with the package's files, which is under ``work``.
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
        # Mirrors that hold a suite as it was at some time let its signature's dates pass.
        "Acquire::Check-Valid-Until": "false",
        # The folder is ours alone, so apt's own user could not write there.
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    _run(*apt, "-oAPT::Update::Error-Mode=any", "update")
    _run(*apt, "download", package, cwd=work / "debs")
    for deb in (work / "debs").glob("*.deb"):
        _run("dpkg-deb", "-x", str(deb), str(work / "unpacked"))
    return work / "unpacked"


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return what it prints."""
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        raise download.DownloadError(f"Debian's package: {command[0]}: {last}") from error
