"""
Hooks for MkDocs in addition to mkdocs.yml: pages that are made from other files, and checks that fail the build.

- README, CHANGELOG and similar files become pages. Their links, written for the repository, lead to the same content on
  the site, or else to the source code. A link to a missing file fails the build.
- The reference has a page for each part of the package, and an entry for each name in its ``__all__``, so renamed and
  new names appear automatically. A name without a docstring fails the build.
- Diagrams are put into the pages as SVG, so that they follow the site's colour scheme.
"""

from __future__ import annotations

import logging
import posixpath
import re
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pyflink_prometheus", "pyflink_prometheus.testing")

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
}

# The headings of the package's parts in the reference, by the folder or file that defines a name; the first match
# counts. Other parts get a heading made from their folder's name.
PARTS = (
    ("testing", "Testing"),
    ("errors", "Errors"),
    ("flink.operators", "Operators"),
    ("operators", "Operators"),
    ("transforms", "Operators"),
    ("flink.tables", "Tables"),
    ("preflight", "Checks of endpoints"),
    ("flink", "Sink"),
    ("config", "Settings"),
    ("http.proxies", "Settings"),
    ("http.tls", "Settings"),
    ("http", "Credentials"),
    ("secret", "Credentials"),
    ("writer", "Rejected samples"),
    ("model", "Records"),
    ("timeseries", "Records"),
    ("histogram", "Records"),
    ("_version", "Sink"),
)
ORDER = (
    *("Sink", "Settings", "Records", "Credentials", "Rejected samples"),
    *("Checks of endpoints", "Operators", "Tables", "Errors", "Testing"),
)

_LOADED_FROM_ELSEWHERE = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
)

log = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not files in docs/."""
    for source, page in PAGES.items():
        if (ROOT / source).exists():
            content = (ROOT / source).read_text(encoding="utf-8")
            if page == "index.md":
                content = f"---\nhide:\n  - navigation\n---\n{content}"
            files.append(File.generated(config, page, content=content))
    for page, content in reference().items():
        files.append(File.generated(config, page, content=content))
    config.nav = [_expanded(entry, files) for entry in config.nav]
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite links to their targets on the site, and insert diagrams."""
    source = {to: made_of for made_of, to in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def rewritten(link: re.Match[str]) -> str:
        place = _place(link[2], source, page.file.src_uri, files, config.extra["source"])
        text = link[1]
        if text.endswith(".md"):
            there = files.get_file_from_path(
                posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), place))
            )
            text = _title(there) if there is not None else text
        return f"[{text}]({place}{link[3]})"

    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    for number in range(0, len(pieces), 2):
        pieces[number] = re.sub(r"!\[[^\]]*\]\((pictures/[\w-]+)\.svg\)", _inlined, pieces[number])
        pieces[number] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)((?:#[^)\s]*)?)\)", rewritten, pieces[number])
    return "".join(pieces)


def on_post_build(config: Any) -> None:
    """Fail if the site lacks a public name, or if a page loads anything from elsewhere."""
    inventory = (Path(config.site_dir) / "objects.inv").read_bytes()
    listed = {line.split()[0] for line in zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()}
    for package in PACKAGES:
        for name in _load()[package].exports:
            if f"{package}.{name}" not in listed:
                log.error("%s.%s is not in the API reference", package, name)
    for page in Path(config.site_dir).rglob("*.html"):
        for loaded in _LOADED_FROM_ELSEWHERE.findall(page.read_text(encoding="utf-8")):
            log.error("%s loads %s: put it into docs/", page.relative_to(config.site_dir), loaded)


def reference() -> dict[str, str]:
    """Return the pages of the reference: an index, and one for each part with all its public names."""
    parts: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for package in PACKAGES:
        module = _load()[package]
        for name in sorted(map(str, module.exports), key=lambda name: (name.startswith("_"), name.lower())):
            found = module[name]
            found = found.final_target if isinstance(found, griffe.Alias) else found
            if found.docstring is None:
                log.error("%s.%s has no docstring: %s", package, name, found.filepath)
                continue
            for each in found.members.values() if found.is_class else ():
                if each.is_function and not each.name.startswith("_") and each.docstring is None:
                    log.error("%s has no docstring: %s", each.path, each.filepath)
            parts[_part(found.path)].append((f"{package}.{name}", _first_sentence(found.docstring.value)))
    index = ["# API reference", "", "All public names. Import them from `pyflink_prometheus`, and the helpers for"]
    index += ["tests of jobs from `pyflink_prometheus.testing`.", ""]
    pages = {}
    for number, part in enumerate(sorted(parts, key=lambda part: (*ORDER, part).index(part))):
        page = f"reference/{number + 1}-{part.lower().replace(' ', '-')}.md"
        index += [f"## [{part}]({posixpath.basename(page)})", ""]
        index += [f"- [`{path.rpartition('.')[2]}`][{path}]: {says}" for path, says in parts[part]] + [""]
        pages[page] = f"# {part}\n\n" + "\n\n".join(f"::: {path}" for path, _ in parts[part]) + "\n"
    return {"reference/index.md": "\n".join(index), **pages}


_loaded: dict[str, Any] = {}


def _load() -> dict[str, Any]:
    if not _loaded:
        extensions = griffe.load_extensions("griffe_sphinx", str(ROOT / "tools/site/docstrings.py"))
        loader = griffe.GriffeLoader(search_paths=[ROOT], extensions=extensions)
        package = loader.load(PACKAGES[0])
        _loaded.update({path: package if path == PACKAGES[0] else package[path.partition(".")[2]] for path in PACKAGES})
    return _loaded


def _part(path: str) -> str:
    within = path.removeprefix("pyflink_prometheus.")
    for start, heading in PARTS:
        if within == start or within.startswith(f"{start}."):
            return heading
    return within.partition(".")[0].strip("_").replace("_", " ").capitalize()


def _first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.:])\s", paragraph)[0].rstrip(":.") + "."


def _expanded(entry: Any, files: Files) -> Any:
    if not isinstance(entry, dict):
        return entry
    ((title, content),) = entry.items()
    if isinstance(content, list):
        return {title: [_expanded(each, files) for each in content]}
    if not content.endswith("/"):
        return entry
    pages = [file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(content)]
    index = ("index.md", "README.md")
    return {title: sorted(pages, key=lambda page: (posixpath.basename(page) not in index, page))}


def _place(link: str, source: str, page: str, files: Files, repository: str) -> str:
    """Return the target of a link that is written for the repository: on the site, or else in the source code."""
    if "://" in link or link.startswith("mailto:") or page.startswith("reference/"):
        return link
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    there = PAGES.get(wanted) or (wanted.removeprefix("docs/") if wanted.startswith("docs/") else None)
    if there is not None and files.get_file_from_path(there) is not None:
        return posixpath.relpath(there, posixpath.dirname(page) or ".")
    if wanted.startswith("..") or not (ROOT / wanted).exists():
        log.error("%s links to %s, which does not exist", source, link)
        return link
    return f"{repository}/{'tree' if (ROOT / wanted).is_dir() else 'blob'}/main/{wanted}"


def _title(file: File) -> str:
    """Return a page's heading, which reads better on a site than its file's name."""
    heading = re.search(r"^# (.+)$", file.content_string, re.MULTILINE)
    return heading[1].partition(":")[0] if heading else file.src_uri


def _inlined(image: re.Match[str]) -> str:
    """Return a diagram, wide and narrow, as HTML, without its file's colours."""
    drawn = [(ROOT / "docs" / f"{image[1]}{kind}.svg").read_text(encoding="utf-8") for kind in ("", "-narrow")]
    shapes = [re.sub(r"(<style>).*?(?=\n  \.diagram rect)", r"\1", one, flags=re.DOTALL) for one in drawn]
    lines = "\n".join(re.sub(r"\n\s*", "\n", one).strip() for one in shapes)
    return f"<div>\n{lines}\n</div>"
