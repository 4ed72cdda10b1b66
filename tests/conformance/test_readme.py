"""The table of requirements in README.md names exactly the existing tests."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ABOUT_SOMETHING_ELSE = {
    "test_batches.py",
    "test_check.py",
    "test_connections.py",
    "test_entra.py",
    "test_oauth2.py",
    "test_proxies.py",
    "test_secrets.py",
    "test_sender_program.py",
    "test_sigv4_chain.py",
    "test_stanza_on_the_wire.py",
    "test_tls.py",
}


def test_the_table_names_each_test_once_and_no_others():
    text = (HERE / "README.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (.*)$", text, flags=re.MULTILINE)[1:]
    named = [
        (file, name)
        for file, section in zip(sections[::2], sections[1::2])
        for name in re.findall(r"`(test_\w+)`", section)
    ]
    written = [
        (path.name, name)
        for path in HERE.glob("test_*.py")
        if path.name not in ABOUT_SOMETHING_ELSE
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    assert sorted(named) == sorted(written)
