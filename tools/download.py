"""Downloads over HTTP that fail soon if there is no response, and that verify the checksums of files."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.request
from pathlib import Path

# For each wait for the network, not for the whole download.
TIMEOUT_SECONDS = 10.0


class DownloadError(Exception):
    """A failed download, with the reason."""


def text(url: str) -> str:
    """Return the content of a small text file."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            return response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error


def file(url: str, target: Path, sha256: str) -> None:
    """Save a file if its checksum matches."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, partial.open("wb") as out:
            shutil.copyfileobj(response, out)
        found = sha256_of(partial)
        if found != sha256:
            raise DownloadError(f"{url}: expected SHA-256 {sha256}, got {found}")
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
