"""dragoman.js: the tests beside this file, run by node."""

from pathlib import Path

import pytest

from tests.support.javascript import check, modules_beside, needs_node

MODULE = Path(__file__).parents[4] / "clients" / "javascript" / "dragoman.js"


@needs_node
@pytest.mark.parametrize("path", modules_beside(__file__), ids=lambda path: path.name)
def test_the_module_passes_its_tests(path: Path) -> None:
    check(path)


def test_the_module_is_small_and_stands_alone() -> None:
    text = MODULE.read_text()
    assert text.count("\n") <= 400
    assert "\nimport " not in text
