"""The page at /api describes every operation and every shape of native. None of its links is broken."""

import re
from html.parser import HTMLParser

import msgspec
import pytest

from docs.native_documents import open_api
from docs.native_page import example, page
from services.edge.dialects.native.operation import AnyOperation
from services.edge.dialects.native.operations import OPERATIONS

DOCUMENT = open_api()
PAGE = page(DOCUMENT)
_VOID = ("meta",)


class _Nesting(HTMLParser):
    """A parser that fails if an element is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_elements_are_closed_and_ids_are_unique() -> None:
    nesting = _Nesting()
    nesting.feed(PAGE)
    nesting.close()
    assert nesting.open == []
    assert len(set(nesting.ids)) == len(nesting.ids)
    assert set(re.findall(r'href="#(\w+)"', PAGE)) <= set(nesting.ids)


def test_every_operation_is_there() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in PAGE


def test_an_operation_shows_its_members() -> None:
    (history,) = re.findall(r'<h3 id="history">.*', PAGE)
    assert _row("count", "integer, at least 1, at most 200", "50", "100") in history
    assert _row("chat", "integer, at least 1, at most 9007199254740991", "", "12") in history
    assert '<td>list of <a href="#ShownMessage">ShownMessage</a></td>' in history
    assert "It needs a token, and of a bot the scope <code>read</code>." in history


def _row(name: str, kind: str, default: str, value: str) -> str:
    default = f"<code>{default}</code>" if default else ""
    return f"<td><code>{name}</code></td><td>{kind}</td><td>{default}</td><td><code>{value}</code></td>"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_examples_of_an_operation_are_parameters_of_it(operation: AnyOperation) -> None:
    """Each member of a command must have an example. Without one, the generation of the page would fail."""
    _, shapes = msgspec.json.schema_components([operation.parameters], ref_template="{name}")
    members = shapes[operation.parameters.__name__]["properties"]
    given = {name: example(member, shapes) for name, member in members.items()}
    msgspec.json.decode(msgspec.json.encode(given), type=operation.parameters)


def test_texts_are_escaped() -> None:
    shape = {
        "type": "object",
        "description": "a < b & `c > d`",
        "properties": {"<x>": {"enum": ["<y>"], "default": "<z>"}},
    }
    document = {
        "info": {"title": "A & B"},
        "paths": {"/p": {"post": {
            "operationId": "p", "summary": "less < more", "security": [],
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}},
            "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}}},
        }}},
        "components": {"schemas": {"S": shape}},
    }  # fmt: skip
    text = page(document)
    assert "<title>A &amp; B: operations" in text
    assert "Less &lt; more." in text
    assert "<code>c &gt; d</code>" in text
    assert "<code>&lt;x&gt;</code>" in text
    assert '<code>"&lt;y&gt;"</code></td><td><code>"&lt;z&gt;"</code>' in text
