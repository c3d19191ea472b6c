"""Excludes the syntax trees of all sources from garbage collection.

They stay in memory, and each collection would visit every node.
"""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _trees_are_no_garbage() -> Iterator[None]:
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
