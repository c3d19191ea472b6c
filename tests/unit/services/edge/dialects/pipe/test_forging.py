"""No text of a user of any dialect forges a field or a frame of pipe."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.edge.canonical.commands import PostMessage
from services.edge.dialects.base import DisplayMessage
from services.edge.dialects.pipe import encode
from services.edge.dialects.pipe.decode import request_of
from services.edge.dialects.pipe.uploads import ChunkedUploads
from shared.contract.body import pack_segments
from shared.contract.contacts import PendingFriendship, PendingMembership, RequestFriendship
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.members import RequestMembership
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, Profile, ProfileSummary, Text
from shared.contract.session import ChatView
from shared.settings import LimitsSettings

ME, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)
LIMITS = LimitsSettings(message_text_bytes=2**18, text_frame_bytes=2**18)
BASE_URL = "http://chat.example:8080"

TEXTS = st.text().filter(lambda text: "\0" not in text) | st.text("|｜\r\n\u2028\x85 ab", max_size=12)


def row(frame: bytes) -> list[str]:
    """The fields of a frame, which is one line for every splitter."""
    text = frame.decode()
    assert len(text.splitlines()) == 1
    return text.split("|")


@given(TEXTS.filter(bool), st.booleans())
@example("|t", True)
@example("||", False)
def test_a_message_is_sent_unchanged(text: str, group: bool) -> None:
    recipient = CHAT if group else OTHER
    request = request_of(
        f"send_message|{int(group)}|{ME}|{recipient}|0|{text}|a.b.c".encode(), ME, LIMITS, ChunkedUploads()
    )
    assert isinstance(request.command, PostMessage)
    assert request.command.segments == (Text(text),)
    assert (request.command.chat, request.command.to) == ((CHAT, 0) if group else (0, OTHER))
    assert request.token == "a.b.c"


@given(TEXTS)
def test_the_text_of_a_request_is_forwarded_unchanged(text: str) -> None:
    friend = request_of(f"add_friend|{ME}|{OTHER}|{text}|a.b.c".encode(), ME, LIMITS, ChunkedUploads())
    group = request_of(f"join_group|{ME}|{CHAT}|{text}|a.b.c".encode(), ME, LIMITS, ChunkedUploads())
    assert friend.command == RequestFriendship(OTHER, text)
    assert group.command == RequestMembership(CHAT, text)
    assert friend.token == group.token == "a.b.c"


@given(TEXTS, TEXTS, st.booleans(), st.sampled_from(["", "pipe", "ourchat-v2"]))
def test_a_message_splits_at_its_first_four_bars(text: str, nickname: str, group: bool, dialect: str) -> None:
    message = Message(CHAT, 1, MessageId(77), OTHER, 1724400000456, pack_segments((Text(text),)), Nonce(1))
    shown = DisplayMessage(message, (Text(text),), ProfileSummary(nickname, "u"), None if group else ME, dialect)
    head, kind, number, time, data = encode.message(shown, BASE_URL).decode().split("|", 4)
    assert (head, time) == ("message", "1724400000")
    assert (kind, number) == (("1", str(CHAT)) if group else ("0", str(OTHER)))
    assert data == (f"{nickname}: {text}" if group and dialect != "pipe" else text)


@given(st.lists(TEXTS, max_size=4))
def test_lists_of_requests_have_a_row_for_each(texts: list[str]) -> None:
    friends = row(encode.friend_requests([PendingFriendship(OTHER, text) for text in texts]))
    groups = row(encode.group_requests([PendingMembership(OTHER, CHAT, text) for text in texts]))
    assert friends[:2] == ["friend_request", str(len(texts))]
    assert groups[:2] == ["group_request", str(len(texts))]
    assert (len(friends), len(groups)) == (3 + 2 * len(texts), 3 + 3 * len(texts))
    assert set(friends[2:-1:2]) <= {str(OTHER)}
    assert set(groups[3:-1:3]) <= {str(CHAT)}


@given(TEXTS, TEXTS)
def test_names_and_signatures_are_one_field_each(name: str, signature: str) -> None:
    profile = Profile(id=OTHER, uuid="u", nickname=name, signature=signature, icon_id=3)
    head, _, icon, _ = row(encode.profile(profile, own=False))
    assert (head, icon) == ("friend_detail_info", "3")
    chat = Chat(id=CHAT, kind=ChatKind.GROUP, name=name, owner=ME, join_policy=JoinPolicy.OPEN)
    head, number, _, *members = row(encode.group(ChatView(chat, [ME, OTHER])))
    assert (head, number, members) == ("groupinfo", str(CHAT), ["2", str(ME), str(OTHER)])


@given(TEXTS)
def test_a_reason_is_one_field(reason: str) -> None:
    head, _ = row(encode.error("login", reason))
    assert head == "login_error"
