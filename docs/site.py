"""Makes a web site of all pages, with search: `./dev docs --site`. The exit status is 1 if a link is broken."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs.tools import program

ROOT = Path(__file__).parents[1]
SITE = ROOT / "site"
_CONFIGURATION = ROOT / "docs" / "site.toml"
_COPIED = (
    "*.md",
    "LICENSE",
    "docs/**/*.md",
    "docs/images/*",
    "docs/protocols/*.json",
    "clients/javascript/*.js",
    "clients/javascript/*.ts",
)
_README = re.compile(r"\bREADME\.md(?=[)#])")
_NESTED = re.compile(r"^( +)(?=(?:[-*]|\d+\.) )", re.MULTILINE)
_FENCED = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def stage(folder: Path) -> None:
    """Copies the pages in their tree, so that links between them stay."""
    for pattern in _COPIED:
        for source in ROOT.glob(pattern):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".md":
                name = "index.md" if source.name == "README.md" else source.name
                target.with_name(name).write_text(translated(source.read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copy(source, target)


def translated(page: str) -> str:
    """GitHub's Markdown as the site's: a README is the index of its folder, and lists are indented by four."""
    parts = _FENCED.split(page)
    parts[::2] = [_NESTED.sub(lambda found: found[1] * 2, _README.sub("index.md", part)) for part in parts[::2]]
    return "".join(parts)


class PageLinks(HTMLParser):
    """The addresses that a page of the site leads to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


def broken(site: Path) -> Iterator[str]:
    """Links between the pages that lead nowhere."""
    pages = {path.resolve(): PageLinks(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for address in page.targets:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (target in pages and parts.fragment not in pages[target].anchors):
                yield f"{path.relative_to(site.resolve())}: {address}"


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        stage(Path(scratch) / "pages")
        shutil.copy(_CONFIGURATION, Path(scratch) / "zensical.toml")
        subprocess.run([program("zensical"), "build", "--clean"], cwd=scratch, check=True)
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.copytree(Path(scratch) / "site", SITE)
    found = sorted(set(broken(SITE)))
    sys.stdout.write("".join(f"broken link: {line}\n" for line in found) or f"{SITE}/index.html\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
