"""The pictures and lists of the architecture pages match the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "\n".join((ROOT / "docs" / page).read_text() for page in ("understand/architecture.md", "develop/map.md"))


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def listed(text: str) -> list[str]:
    """Returns the first words of the lines of a file tree."""
    return [line.split()[0].rstrip("/") for line in text.splitlines() if line and not line.startswith("```")]


TREE, PLAN = (block.split("```")[0] for block in section("The tree").split("```text\n")[1:])
INSIDE = section("Inside an edge")
EDGE_TREE = INSIDE.split("services/edge/\n")[1].split("```")[0]
GUESSES = re.findall(r"^\| ([\w -]+) \| `([\w./]+)` \|$", section("Where to find it"), re.MULTILINE)


def test_the_tree_lists_every_folder_at_the_top() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout  # noqa: S607
    folders = {name.split("/")[0] for name in tracked.splitlines() if "/" in name and not name.startswith(".")}
    assert [name for name in listed(TREE) if not (ROOT / name).exists()] == []
    assert folders <= set(listed(TREE))


@pytest.mark.parametrize("service", ["auth", "session", "message"])
def test_the_services_have_the_floor_plan(service: str) -> None:
    folder = ROOT / "services" / service
    parts = {path.stem for path in folder.iterdir() if not path.name.startswith("__")} - {"migrations"}
    assert {Path(part).stem for part in listed(PLAN)} <= parts


def test_the_tree_of_the_edge_is_its_folder() -> None:
    folder = ROOT / "services" / "edge"
    parts = {path.name for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert sorted(listed(EDGE_TREE)) == sorted(parts - {"__init__.py"})


def test_pure_modules_state_so_in_their_docstrings() -> None:
    (pure,) = re.findall(r"^(.*) are pure", " ".join(INSIDE.split("```")[2].split("\n")), re.MULTILINE)
    names = re.findall(r"`([\w/]+)`", pure)
    assert len(names) > 5
    for name in names:
        opening = (ROOT / "services" / "edge" / f"{name}.py").read_text().split('"""')[1].lower()
        assert "pure" in opening or "sans-io" in opening, name


def test_a_reader_has_enough_to_guess_by() -> None:
    assert len(GUESSES) >= 30
    assert len({guess for guess, _ in GUESSES}) == len(GUESSES)
    assert len(PAGE.split("| guess | file |")[1].strip().splitlines()) == len(GUESSES) + 1


@pytest.mark.parametrize(("guess", "file"), GUESSES)
def test_each_guess_is_found_in_its_file(guess: str, file: str) -> None:
    text = f"{file}\n{(ROOT / file).read_text()}".lower()
    for word in guess.lower().split():
        pattern = re.escape(word.removesuffix("s")).replace(r"\-", "[-_ ]?")
        assert re.search(rf"(?<![a-z]){pattern}", text), f"nothing in {file} is called {word}"
