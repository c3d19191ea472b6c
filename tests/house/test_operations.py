"""Tests which files are needed for an operation that the edge forwards to a service.

These are the request with its route, the use case, its store, and its native frame.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from shared.contract.subjects import FORWARDED
from tests.house.test_house import ROOT, tracked
from tests.house.vocabulary import parsed

_MOST_FILES = 4
_DIALECTS = "services/edge/dialects/"
"""Files of dialects of other protocols than native need not have the operation."""
_EXCEPTIONS = {
    "CreateChat": "the edge keeps the picture",
    "SetChat": "the edge keeps the picture; some settings have a route of their own",
    "SetProfile": "the edge keeps the picture, and caches the name; some dialects change it with the question",
    "GetAccount": "edges ask for many profiles at once, cache them, and export them",
    "GetChat": "edges look up the other member of a private chat, and show a new chat",
    "OpenPrivateChat": "edges find the chat of a message to an account",
    "ListRequests": "edges show the requests after a login, and export them",
    "MuteChat": "the edge tells the account's other connections",
    "PlaceChat": "the edge tells the account's other connections",
    "MarkReadTime": "the edge tells the account's other connections",
    "SaveDraft": "the edge tells the account's other connections; messages end drafts",
    "SetOwnSettings": "the edge tells the account's other connections",
    "SetBlocked": "the edge knows who is blocked, for typing and presence",
    "SetSecurity": "it needs a login by a secret; some dialects change it with the profile",
    "RequestMembership": "native has a text of its own for a group that cannot be joined",
    "BanMember": "bans and silences have a table of their own beside members",
    "SilenceMember": "bans and silences have a table of their own beside members",
}


def test_a_forwarded_operation_touches_few_files() -> None:
    files: dict[str, set[str]] = {route.request.__name__: set() for route in FORWARDED}
    for path in tracked("*.py"):
        name = str(path.relative_to(ROOT))
        beside = name.startswith(_DIALECTS) and not name.startswith(f"{_DIALECTS}native/")
        if name.startswith(("services/", "shared/")) and not beside and not name.startswith("services/cli/"):
            for found in set(_names(path)) & files.keys():
                files[found].add(name)
    many = {name: sorted(found) for name, found in files.items() if len(found) > _MOST_FILES}
    assert {name: found for name, found in many.items() if name not in _EXCEPTIONS} == {}
    assert set(_EXCEPTIONS) <= set(many), "no exception that is not needed"


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.name
