"""Tests the positions of a stream of events: which events change them, and the text for them."""

import base64

import msgspec
import pytest

from services.edge.canonical.positions import Place, unpack
from services.edge.http.event_stream import MAX_CHATS, EventPositions, SyncReply
from shared.contract.errors import RequestError
from shared.contract.ids import ChatId


def positions(chats: dict[int, tuple[int, int]], epoch: str = "e", state: int = 0) -> EventPositions:
    made = EventPositions()
    heads = [{"chat": chat, "head": head, "rev": rev, "state": state} for chat, (head, rev) in chats.items()]
    made.synced(reply(heads, epoch=epoch))
    return made


def reply(chats: list[dict[str, int]], **members: object) -> SyncReply:
    return msgspec.convert({"epoch": "e", "reset": False, "chats": chats, "gone": []} | members, SyncReply)


def message(chat: int, index: int) -> bytes:
    return msgspec.json.encode({"ev": "message", "chat": chat, "index": index, "id": 9})


def changed(chat: int, rev: int, index: int = 1) -> bytes:
    return msgspec.json.encode({"ev": "changed", "chat": chat, "rev": rev, "index": index})


def known(made: EventPositions) -> tuple[str, dict[int, tuple[int, int]]]:
    epoch, places = unpack(str(made))
    return epoch, {chat: (place.last, place.rev) for chat, place in places.items()}


def place(made: EventPositions, chat: int) -> tuple[int, int] | None:
    return known(made)[1].get(chat)


def test_the_text_has_all() -> None:
    made = positions({5: (120, 7), 9: (2, 0), 2**53 - 1: (2**53 - 1, 2**53 - 1)}, "main=1,second=2", state=17)
    assert str(EventPositions.parse(str(made))) == str(made)
    assert known(made)[0] == "main=1,second=2"
    assert unpack(str(made))[1][ChatId(9)] == Place(2, 0, 17)
    assert known(EventPositions.parse(str(EventPositions()))) == ("", {})


def test_the_text_of_many_chats_fits_into_a_command() -> None:
    made = positions({100_000 + 50 * chat: (1_000_000, 1_000) for chat in range(MAX_CHATS)}, state=2**32 - 1)
    assert len(str(made)) < 60_000


@pytest.mark.parametrize(
    "text",
    [
        "", "?", "a", "AAAA", "é", "e30", "x" * 5000,
        base64.urlsafe_b64encode(msgspec.msgpack.encode(["e", [[1, -1, 0]]])).decode(),
        base64.urlsafe_b64encode(msgspec.msgpack.encode(["e", [[1, 1, 0]], 3])).decode(),
        base64.urlsafe_b64encode(msgspec.msgpack.encode(["e" * 2000, []])).decode(),
        base64.urlsafe_b64encode(msgspec.msgpack.encode(["e", [1, 1, 0, 0, 1, 1, 0]])).decode(),
        base64.urlsafe_b64encode(msgspec.msgpack.encode(["e", [2**53 - 1, 1, 0, 0, 1, 1, 0, 0]])).decode(),
        base64.urlsafe_b64encode(msgspec.msgpack.encode(["e", [2**53 - 1, 1, 0, 0] * 2100])).decode(),
    ],
)  # fmt: skip
def test_other_texts_are_rejected(text: str) -> None:
    with pytest.raises(RequestError) as rejected:
        EventPositions.parse(text)
    assert rejected.value.failure.field == "have"


def test_the_next_message_moves_its_position() -> None:
    made = positions({5: (120, 7)})
    assert made.advance(message(5, 121)) == (True, True)
    assert place(made, 5) == (121, 7)
    assert made.advance(message(5, 121)) == (False, False)
    assert made.advance(message(5, 100)) == (False, False)


def test_beyond_a_hole_nothing_moves_until_it_is_filled() -> None:
    made = positions({5: (120, 7)})
    assert made.advance(message(5, 122)) == (True, False)
    assert made.advance(changed(5, 9)) == (True, False)
    assert place(made, 5) == (120, 7)
    assert made.advance(message(5, 121)) == (True, True)
    assert made.advance(changed(5, 8)) == (True, True)
    assert place(made, 5) == (121, 8)


def test_a_new_chat_begins_with_its_first_event() -> None:
    made = EventPositions()
    assert made.advance(changed(5, 30)) == (True, False)
    assert made.advance(message(5, 50)) == (True, True)
    assert place(made, 5) == (50, 0)
    assert made.advance(b'{"ev":"gone","chat":5,"why":"left"}') == (True, True)
    assert made.advance(b'{"ev":"gone","chat":5,"why":"left"}') == (True, False)
    assert place(made, 5) is None


@pytest.mark.parametrize("event", [b'{"ev":"typing","chat":5}', b'{"ev":"bye"}', b'{"ev":"read","chat":5,"index":9}'])
def test_other_events_are_new_and_move_nothing(event: bytes) -> None:
    made = positions({5: (120, 7)})
    assert made.advance(event) == (True, False)
    assert place(made, 5) == (120, 7)


def test_a_sync_moves_all() -> None:
    made = positions({5: (120, 7), 6: (1, 0), 7: (3, 0)})
    made.synced(reply([{"chat": 5, "head": 130, "rev": 12, "changes_after": 9}], gone=[7], epoch=""))
    assert known(made) == ("e", {5: (130, 9), 6: (1, 0)})
    made.synced(reply([{"chat": 8, "head": 1, "rev": 0}], reset=True, epoch="f"))
    assert known(made) == ("f", {8: (1, 0)})


def test_a_long_position_comes_after_as_many_characters_of_events() -> None:
    short, long = (positions({chat: (1, 0) for chat in range(1, chats)}) for chats in (10, 1001))
    assert [short.is_due(200) for _ in range(3)] == [True] * 3
    due = [long.is_due(1000) for _ in range(26)]
    assert [number for number, is_due in enumerate(due, 1) if is_due] == [12, 24]


def test_of_too_many_chats_in_pages_the_first_pages_are_known() -> None:
    """The chats with the latest messages come first."""
    pages = [
        reply([{"chat": chat, "head": 1, "rev": 0} for chat in range(low, low + 500)]) for low in range(1, 4000, 500)
    ]
    made = EventPositions()
    made.synced(*pages)
    assert sorted(known(made)[1]) == [*range(1, MAX_CHATS + 1)]


def test_of_too_many_chats_the_quietest_are_forgotten() -> None:
    made = positions({chat: (1, 0) for chat in range(1, MAX_CHATS + 1)})
    made.advance(message(MAX_CHATS, 2))
    for chat in range(5000, 5010):
        made.advance(message(chat, 1))
    assert len(made) == MAX_CHATS
    assert (place(made, MAX_CHATS), place(made, MAX_CHATS - 1)) == ((2, 0), None)
    assert place(made, 5009) == (1, 0)
