"""Runs the JavaScript tests of dragoman.js in this folder with node."""

import gzip
import re
from pathlib import Path

import pytest

from tests.support.javascript import check, modules_beside, needs_node

MODULE = Path(__file__).parents[4] / "clients" / "javascript" / "dragoman.js"


@needs_node
@pytest.mark.parametrize("path", modules_beside(__file__), ids=lambda path: path.name)
def test_the_module_passes_its_tests(path: Path) -> None:
    check(path)


def test_the_module_is_small_and_stands_alone() -> None:
    body = MODULE.read_bytes()
    assert len(gzip.compress(body, mtime=0)) < 10_020
    assert not re.search(rb"^import |;import[ {]", body, re.MULTILINE)
