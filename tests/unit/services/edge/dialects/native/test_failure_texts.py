"""The failures in the vectors of native have texts that the code contains, because the documents show these vectors."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vectors import load

ROOT = Path(__file__).parents[6]
FAILURES = sorted({
    reply.failure.text
    for vector in load("native").vectors
    for request in vector.all_requests
    for reply in request.replies
    if reply.failure is not None
})  # fmt: skip


def texts(code: str) -> Iterator[str]:
    """Yields patterns of the strings in the code. A value in a string may be any text. A rule follows its field."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.escape(node.value).replace(r"\{\}", ".+")
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if any(isinstance(part, str) and " " in part.strip() for part in parts):
                yield "".join(re.escape(part) if isinstance(part, str) else ".+" for part in parts)


@pytest.fixture(scope="module")
def known() -> list[str]:
    files = (path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py"))
    return sorted({text for path in files for text in texts(path.read_text())})


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_has_a_text_of_the_code(failure: str, known: list[str]) -> None:
    assert any(re.fullmatch(rf"(\w+ )?{text}", failure) for text in known)


def test_a_text_that_the_code_does_not_contain_is_noticed(known: list[str]) -> None:
    assert not any(re.fullmatch(text, "unknown username or wrong password") for text in known)
