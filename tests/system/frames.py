"""Hypothesis strategies for frames, valid and invalid, to soak an edge with."""

import json
from typing import Any

from hypothesis import strategies as st

_FAR = 9_000_000_000
"""No account and no session has such a number: made-up numbers must not concern the others."""
_KEYS = [
    "code", "time", "sender", "ocid", "session_id", "msg", "type", "text", "request_values", "members", "email",
    "password", "name", "login_type", "account", "data", "nickname", "avatar", "status", "details",
]  # fmt: skip
_DELETION = 16

numbers = st.one_of(
    st.integers(_FAR, 2**70),
    st.integers(-(2**70), 0),
    st.floats(),
    st.sampled_from([-1, 0, 2**31, 2**53, 2**63, 2**64]),
)
words = st.one_of(st.text(max_size=30), st.sampled_from(["", "0", "null", "\x00", "\ud800", "|", "{}", f"{_FAR:010d}"]))
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(_KEYS), words), inner, max_size=4)
    ),
    max_leaves=12,
)
codes = st.one_of(st.integers(-3, 30).filter(lambda code: code != _DELETION), scalars)


def _requests(own: int) -> list[dict[str, Any]]:
    """A valid request of each kind, by an account that no other one depends on."""
    ocid = f"{own:010d}"
    return [
        {"code": 0, "time": 1, "sender": {"ocid": ocid, "session_id": str(_FAR)}, "msg": [{"type": 0, "text": "x"}]},
        {"code": 1, "session_id": str(_FAR), "request_values": ["session_id", "name", "members"]},
        {"code": 8, "members": [ocid], "name": "alone"},
        {"code": 10, "ocid": ocid, "request_values": ["ocid", "nickname", "sessions", "friends"]},
        {"code": 12},
        {"code": 14},
        {"code": 19, "ocid": ocid, "data": {"nickname": "x"}},
        {"code": 6, "login_type": 0, "account": "nobody@dragoman.test", "password": "x"},
    ]


def _dump(value: object) -> str:
    """As JSON, including what JSON cannot represent (NaN) and UTF-8 cannot (lone surrogates, escaped)."""
    return json.dumps(value)


@st.composite
def _mutated(draw: st.DrawFn, own: int) -> str:
    """A valid request with one alteration, which may leave it valid."""
    request = draw(st.sampled_from(_requests(own))).copy()
    key = draw(st.sampled_from([*request, *_KEYS]))
    match draw(st.sampled_from(["as it is", "drop", "change", "add", "cut", "join"])):
        case "drop":
            request.pop(key, None)
        case "change" | "add":
            request[key] = draw(codes if key == "code" else values)
        case "cut":
            text = _dump(request)
            return text[: draw(st.integers(0, len(text) - 1))]
        case "join":
            return _dump(request) + draw(st.sampled_from(["\n", " ", ",", _dump(request), "\x00"]))
    return _dump(request)


def texts(own: int) -> st.SearchStrategy[str]:
    """Text frames. None deletes an account, none names another account or its sessions."""
    return st.one_of(
        _mutated(own),
        _mutated(own),
        st.dictionaries(st.sampled_from(_KEYS), values, max_size=6).flatmap(
            lambda members: codes.map(lambda code: _dump({**members, "code": code}))
        ),
        values.map(_dump),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        st.integers(1, 100_000).map(lambda depth: "[" * depth),
        st.integers(1, 60_000).map(lambda digits: '{"code":' + "1" * digits + "}"),
    )


binaries = st.one_of(st.binary(max_size=300), st.just(b"\x00" * 70_000), st.just(b'{"code":12}'))


def frames(own: int) -> st.SearchStrategy[str | bytes | list[str]]:
    """The content of one data frame; a list is sent in fragments."""
    return st.one_of(
        texts(own),
        texts(own),
        binaries,
        st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=5),
    )
