"""Makes a web site of all pages, with search: `./dev docs --site`. The exit status is 1 if a
link is broken, or if a page loads something from another server."""

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
    "docs/evidence/*.json",
    "docs/protocols/*.json",
    "clients/javascript/*.js",
    "clients/javascript/*.ts",
    "clients/javascript/openapi.json",
    "dragoman_client/native.py",
)
_README = re.compile(r"\bREADME\.md(?=[)#])")
_NESTED = re.compile(r"^( +)(?=(?:[-*]|\d+\.) )", re.MULTILINE)
_FOLDER = re.compile(r'"([\w/]+/)"')
_LANGUAGES = {"sh": "curl", "js": "JavaScript", "python": "Python"}
_PROGRAM = re.compile(r"^```(sh|js|python)\n((?:(?!^```).)*?)^```\n", re.DOTALL | re.MULTILINE)
_PROGRAMS = re.compile(rf"{_PROGRAM.pattern}(?:\n{_PROGRAM.pattern})+", re.DOTALL | re.MULTILINE)
_FOREIGN = re.compile(
    r"<(?:script|img|iframe|source|link(?= [^>]*rel=\"?(?:stylesheet|icon|pre)))[^>]*?(?:src|href)=\"?(https?:[^ \">]*)"
    r"|(?:@import |url\()['\"]?(https?:[^ '\")]*)"
)
_FENCED = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def stage(folder: Path) -> None:
    """Copies the pages. They stay in their folders, so that links between them stay valid."""
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
    """Converts GitHub's Markdown to the site's Markdown. A README becomes the index of its folder, lists are indented
    by four blanks, and consecutive programs are shown in tabs."""
    page = _PROGRAMS.sub(lambda found: "\n".join(_tab(*block) for block in _PROGRAM.findall(found[0])), page)
    parts = _FENCED.split(page)
    parts[::2] = [_NESTED.sub(lambda found: found[1] * 2, _README.sub("index.md", part)) for part in parts[::2]]
    return "".join(parts)


def configuration(pages: Path) -> str:
    """The site's configuration, which lists each page of a folder."""

    def listed(found: re.Match[str]) -> str:
        names = sorted(path.relative_to(pages) for path in (pages / found[1]).glob("*.md"))
        entries = ", ".join(f'{{ "{_title(pages / name)}" = "{name}" }}' for name in names)
        return f"[{entries}]"

    return _FOLDER.sub(listed, _CONFIGURATION.read_text())


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _tab(language: str, program: str) -> str:
    body = "".join(f"    {line}\n" if line else "\n" for line in f"```{language}\n{program}```".split("\n"))
    return f'=== "{_LANGUAGES[language]}"\n\n{body}'


class PageLinks(HTMLParser):
    """The addresses to which a page of the site links, and the anchors of the page."""

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
    """The links between pages that do not work."""
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


def foreign(site: Path) -> Iterator[str]:
    """Each address of another server from which a page would load something."""
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        for found in _FOREIGN.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: {''.join(found)}"


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        stage(Path(scratch) / "pages")
        (Path(scratch) / "zensical.toml").write_text(configuration(Path(scratch) / "pages"))
        subprocess.run([program("zensical"), "build", "--clean"], cwd=scratch, check=True)
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.copytree(Path(scratch) / "site", SITE)
    found = sorted(
        {f"broken link: {line}\n" for line in broken(SITE)} | {f"foreign: {line}\n" for line in foreign(SITE)}
    )
    sys.stdout.write("".join(found) or f"{SITE}/index.html\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
