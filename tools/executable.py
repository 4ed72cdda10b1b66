"""Fetch a program into .cache/: its official release, or on Debian the distribution's package of some suite."""

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
# As those name it who make releases of Go programs.
ARCHITECTURE = _ARCHITECTURES.get(platform.machine(), platform.machine())


@dataclass(frozen=True)
class Executable:
    """
    One program, and where it can be had.

    :param name: for messages.
    :param target: where it goes.
    :param package: Debian's package, of which the program is in usr/bin.
    :param suites: of Debian, those whose package is as wanted, the ones to be preferred first.
    :param program: its name there. Default: the package's.
    :param release: the address of the folder with the official release's files; "" where Debian's package is all that
        is asked for.
    :param archive: which of them holds the program, a .tar.gz.
    :param checksums: which of them holds the archive's SHA-256.
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
        """Return what was fetched before, or fetch it."""
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
        raise download.DownloadError("\n".join([f"No {self.name} can be had:", *problems]))

    def fetch_release(self) -> None:
        """Fetch the official release for this machine."""
        lines = download.text(f"{self.release}/{self.checksums}").splitlines()
        sums = dict(reversed(line.split()) for line in lines if line)
        if self.archive not in sums:
            raise download.DownloadError(f"{self.release}: there is no {self.archive}")
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
                    raise download.DownloadError(f"{self.archive} holds no {self.member}")
                with unpacked.open("wb") as out:
                    shutil.copyfileobj(member, out)
            self._install(unpacked)

    def fetch_debian_package(self) -> None:
        """Fetch and unpack Debian's package, from the mirror that apt uses here."""
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
        """Move an executable to where it is looked for, complete or not at all."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.target.with_suffix(".new")
        shutil.copyfile(executable, fresh)
        fresh.chmod(0o755)
        fresh.replace(self.target)

    def _say(self, message: str) -> None:
        """Tell the user what happens, apart from the result on standard output."""
        print(f"{self.name}: {message}", file=sys.stderr)
