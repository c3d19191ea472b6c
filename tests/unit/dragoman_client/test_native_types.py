"""The Python types of native match every reply and event in the vectors, which are the frames that an edge sends.

tests/system/test_python_client.py checks the replies of a real system.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import vectors
from tests.sdk.typed_replies import EVENTS, RESULTS, event_faults, reply_faults

Frame = dict[str, Any]
VECTORS: list[Frame] = json.loads(vectors.path_of("native").read_bytes())["vectors"]


def frames_of(vector: Frame) -> Iterator[Frame]:
    requests = [vector, *vector.get("requests", []), *(one.get("request", {}) for one in vector.get("actions", []))]
    frames = [*vector.get("out", []), *(one for action in vector.get("actions", []) for one in action.get("reply", []))]
    frames += [one for request in requests for reply in request.get("replies", []) for one in reply["out"]]
    yield from (frame for frame in frames if isinstance(frame, dict))


EVENT_FRAMES = [frame for one in VECTORS for frame in frames_of(one) if "ev" in frame and not one.get("resumed")]
REPLIES = [
    (one["in"]["op"], {name: value for name, value in frame.items() if name != "re"})
    for one in VECTORS
    if isinstance(one.get("in"), dict)
    for frame in frames_of(one)
    if "re" in frame and "error" not in frame
]


@pytest.mark.parametrize("event", EVENT_FRAMES, ids=lambda event: event["ev"])
def test_an_event_has_its_type(event: Frame) -> None:
    assert event["ev"] in ("cursor", "resumed") or event_faults(event) == []


@pytest.mark.parametrize(("op", "reply"), REPLIES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_reply_has_its_type(op: str, reply: Frame) -> None:
    assert reply_faults(op, reply) == []


def test_every_type_is_among_them() -> None:
    assert {event["ev"] for event in EVENT_FRAMES} >= EVENTS.keys()
    assert {op for op, _ in REPLIES} >= RESULTS.keys()


def test_another_type_is_noticed() -> None:
    for op, reply in (("read", {"unread": "2"}), ("read", {"more": 2}), ("ping", {})):
        assert reply_faults(op, reply)
    assert event_faults({"ev": "gone", "chat": 5}) == ["gone.why is missing"]
