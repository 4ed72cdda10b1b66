"""Download files over HTTP: fail soon where nothing answers, and let no file through whose checksum is wrong."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.request
from pathlib import Path

# Of each wait for the network, not of the whole download.
TIMEOUT_SECONDS = 10.0


class DownloadError(Exception):
    """Say what could not be downloaded, and why."""


def text(url: str) -> str:
    """Return a small text file."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            return answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error


def file(url: str, target: Path, sha256: str) -> None:
    """Save a file, if its checksum is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, partial.open("wb") as out:
            shutil.copyfileobj(answer, out)
        found = sha256_of(partial)
        if found != sha256:
            raise DownloadError(f"{url}: its SHA-256 is {found}, not {sha256}")
        partial.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        for block in iter(lambda: source.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
