"""The picture shows the house as it is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
OWNS = PAGE.split("## Who owns what")[1].split("##")[0]
INSIDE = PAGE.split("## Inside an edge")[1].split("##")[0]
ROOMS = [
    room
    for row in re.findall(r"^\| (`[a-z/` ]+/`) \|", OWNS, re.MULTILINE)
    for room in re.findall(r"`([a-z/]+)/`", row)
]


def test_every_room_is_there() -> None:
    assert [room for room in ROOMS if not (ROOT / room).is_dir()] == []


@pytest.mark.parametrize("floor", ["services", "services/edge", "services/cli"])
def test_no_room_is_left_out(floor: str) -> None:
    packages = {f"{floor}/{path.parent.name}" for path in (ROOT / floor).glob("*/__init__.py")}
    assert packages <= set(ROOMS)


def test_every_part_of_the_edge_has_its_place() -> None:
    table = "".join(line.split("|")[1] for line in INSIDE.splitlines() if line.startswith("|"))
    edge = ROOT / "services" / "edge"
    modules = {path.stem for path in edge.glob("*.py")} - {"__init__"}
    packages = {f"{path.parent.name}/" for path in edge.glob("*/__init__.py")}
    assert sorted(re.findall(r"`([\w/]+)`", table)) == sorted(modules | packages)


def test_what_is_called_pure_says_so_itself() -> None:
    (pure,) = re.findall(r"^(.*) are pure", INSIDE, re.MULTILINE)
    for name in re.findall(r"`([\w/]+)`", pure):
        opening = (ROOT / "services" / "edge" / f"{name}.py").read_text().split('"""')[1].lower()
        assert "pure" in opening or "sans-io" in opening, name
