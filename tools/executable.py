"""Programs that are fetched into .cache/: the official release, or on Debian the distribution's package."""

from __future__ import annotations

import platform
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import debian_package
import download

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armv7"}
SYSTEM = platform.system().lower()
# The machine's name in releases of Go programs.
ARCHITECTURE = _ARCHITECTURES.get(platform.machine(), platform.machine())


@dataclass(frozen=True)
class Executable:
    """
    A program and its sources.

    :param name: the name in messages.
    :param target: the file to which the program is saved.
    :param package: the Debian package, which has the program in usr/bin.
    :param suites: the Debian suites with a suitable package, in order of preference.
    :param program: the program's name in the package. Default: the package's name.
    :param release: the URL of the folder with the official release's files; "" if only the Debian package is wanted.
    :param archive: the name of the .tar.gz that contains the program.
    :param checksums: the name of the file with the archive's SHA-256.
    :param member: the program's path in the archive.
    """

    name: str
    target: Path
    package: str
    suites: tuple[str, ...]
    program: str = ""
    release: str = ""
    archive: str = ""
    checksums: str = ""
    member: str = ""

    def find_or_fetch(self) -> Path:
        """Return the program, and fetch it first if it is missing."""
        problems = []
        official = [self.fetch_release] if self.release else []
        for fetch in (None, *official, self.fetch_debian_package):
            try:
                if fetch is not None:
                    fetch()
            except download.DownloadError as error:
                problems.append(f"  {error}")
            if self.target.exists():
                return self.target.resolve()
        raise download.DownloadError("\n".join([f"Could not fetch {self.name}:", *problems]))

    def fetch_release(self) -> None:
        """Fetch the official release for this machine."""
        lines = download.text(f"{self.release}/{self.checksums}").splitlines()
        sums = {name: checksum for checksum, name in (line.split() for line in lines if line)}
        if self.archive not in sums:
            raise download.DownloadError(f"{self.release}: no {self.archive}")
        self._say(f"fetching {self.release}/{self.archive}")
        with tempfile.TemporaryDirectory() as work:
            packed, unpacked = Path(work, "archive"), Path(work, "executable")
            download.file(f"{self.release}/{self.archive}", packed, sums[self.archive])
            with tarfile.open(packed) as files:
                try:
                    member = files.extractfile(self.member)
                except KeyError:
                    member = None
                if member is None:
                    raise download.DownloadError(f"{self.archive}: no {self.member}")
                with unpacked.open("wb") as out:
                    shutil.copyfileobj(member, out)
            self._install(unpacked)

    def fetch_debian_package(self) -> None:
        """Fetch and unpack the Debian package, from the mirror that apt uses."""
        mirror = debian_package.mirror()
        problems = []
        for suite in self.suites:
            self._say(f"fetching the package of Debian {suite}")
            with tempfile.TemporaryDirectory() as work:
                try:
                    unpacked = debian_package.unpack(self.package, suite, mirror, Path(work))
                except download.DownloadError as error:
                    problems.append(f"{suite}: {error}")
                    continue
                self._install(unpacked / "usr" / "bin" / (self.program or self.package))
                return
        raise download.DownloadError("; ".join(problems))

    def _install(self, executable: Path) -> None:
        """Move an executable to its target, atomically."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.target.with_suffix(".new")
        shutil.copyfile(executable, fresh)
        fresh.chmod(0o755)
        fresh.replace(self.target)

    def _say(self, message: str) -> None:
        """Print a progress message on standard error; standard output is for the result."""
        print(f"{self.name}: {message}", file=sys.stderr)
