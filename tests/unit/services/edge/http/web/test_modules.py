"""Runs the JavaScript tests of the first page in this folder with node."""

from pathlib import Path

import pytest

from tests.support.javascript import check, modules_beside, needs_node


@needs_node
@pytest.mark.parametrize("path", modules_beside(__file__), ids=lambda path: path.name)
def test_the_modules_pass_their_tests(path: Path) -> None:
    check(path)
