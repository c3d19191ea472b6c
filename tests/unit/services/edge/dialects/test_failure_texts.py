"""The failures in the vectors have texts, and in native also reasons, of the code, because the documents show them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.edge.dialects.registry import DIALECTS
from shared.contract.errors import ErrorCode, Failure, Reason
from tests.vectors import VectorRequest, load

ROOT = Path(__file__).parents[5]
MADE_BY = ("DecodeError", "Failure", "RequestError")
NOT_IN_NATIVE = (
    "services/edge/dialects/irc/", "services/edge/dialects/ourchat_", "services/edge/dialects/pipe/",
    "services/edge/media/", "services/edge/http/resumable_uploads.py", "services/edge/http/uploads.py",
    "services/edge/client/uploads.py", "services/edge/recording.py",
)  # fmt: skip
"""The modules whose errors have another form than native's."""


def failures(requests: list[VectorRequest]) -> Iterator[Failure]:
    for request in requests:
        for reply in request.replies:
            yield from [] if reply.failure is None else [reply.failure]
            yield from failures(reply.follow_ups)


def failures_of(dialect: str) -> list[Failure]:
    found = {one for vector in load(dialect).vectors for one in failures(vector.all_requests)}
    return sorted((one for one in found if one.text), key=repr)


class Texts:
    """The strings of the code. A value in a string may be any text, and a rule follows the name of its field."""

    def __init__(self, strings: Iterator[ast.expr]) -> None:
        self.exact = set[str]()
        self.patterns = list[re.Pattern[str]]()
        for node in strings:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{}" not in node.value:
                self.exact.add(node.value)
            elif (text := _pattern(node)) is not None:
                self.patterns.append(re.compile(text))

    def __contains__(self, text: str) -> bool:
        parts = filter(None, (text, text.partition(" ")[2]))
        return any(part in self.exact or any(one.fullmatch(part) for one in self.patterns) for part in parts)


def _pattern(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value).replace(r"\{\}", ".+")
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
    if not any(isinstance(part, str) and " " in part.strip() for part in parts):
        return None
    return "".join(re.escape(part) if isinstance(part, str) else ".+" for part in parts)


def members(node: ast.AST, of: str) -> list[str]:
    """The members of an enumeration that the code names."""
    return [
        one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == of
    ]


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    files = (path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in files}


@pytest.fixture(scope="module")
def calls(trees: dict[str, ast.Module]) -> list[tuple[str, ast.Call]]:
    """The calls that make a failure, with their modules."""
    return [
        (path, node)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MADE_BY
    ]


@pytest.fixture(scope="module")
def known(trees: dict[str, ast.Module]) -> Texts:
    return Texts(node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.expr))


@pytest.mark.parametrize("dialect", [entry.name for entry in DIALECTS])
def test_failures_have_texts_of_the_code(dialect: str, known: Texts) -> None:
    assert [one.text for one in failures_of(dialect) if one.text not in known] == []


def test_failures_of_native_have_reasons_of_the_code(calls: list[tuple[str, ast.Call]]) -> None:
    made = [(Texts(iter(call.args)), next(iter(members(call, "Reason")), "")) for _, call in calls]
    wrong = []
    for one in failures_of("native"):
        reasons = [Reason[name].value if name else "" for texts, name in made if one.text in texts]
        if reasons and one.reason not in reasons:
            wrong.append((one.text, one.reason, reasons))
    assert wrong == []


def test_a_text_that_the_code_does_not_contain_is_noticed(known: Texts) -> None:
    assert "unknown username or wrong password" not in known


def test_a_code_that_has_several_reasons_names_one(calls: list[tuple[str, ast.Call]]) -> None:
    """An invalid field without another reason has the reason FORM."""
    lacking = [
        f"{path}:{call.lineno}"
        for path, call in calls
        if not path.startswith(NOT_IN_NATIVE)
        if members(call, "ErrorCode") in (["FORBIDDEN"], ["CONFLICT"]) and not members(call, "Reason")
    ]
    assert lacking == []
    assert Failure(ErrorCode.INVALID, "x").why == Reason.FORM
