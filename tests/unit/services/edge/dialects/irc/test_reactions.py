"""Tests how IRC shows reactions, typing and recalls of other users."""

import pytest

from services.edge.canonical.commands import Command, ShowProfiles
from services.edge.canonical.events import Event, MessageChanged
from services.edge.canonical.replies import DisplayChange, Reply, UsersFound
from services.edge.dialects.base import LoadedChat
from shared.contract.ephemeral import ChatSettingsChanged, Typing
from shared.contract.ids import AccountId
from shared.contract.message import ChangeKind, MessageChange
from shared.contract.model import JoinPolicy, Profile, ProfileSummary
from shared.contract.session import MemberSettings, PlaceChat
from tests.unit.services.edge.dialects.driving import LONG_AFTER
from tests.unit.services.edge.dialects.irc.test_session import CHAT, OTHER, OWN, IrcConnection, joined

SUMMARY = ProfileSummary("Bob", "u34")


def changed(
    by: AccountId, face: ProfileSummary | None = None, kind: ChangeKind = ChangeKind.REACTION
) -> MessageChanged:
    change = MessageChange(CHAT, 4, 8, kind, by, 1724400000000, reactions={"👍": 1}, emoji="👍")
    return MessageChanged(DisplayChange(change, summary=face))


def faces(command: Command) -> Reply:
    if isinstance(command, PlaceChat):
        return MemberSettings()
    assert isinstance(command, ShowProfiles)
    return UsersFound(tuple(Profile(id=one, uuid=f"u{one}", nickname="Bob") for one in command.accounts))


@pytest.mark.parametrize(("by", "target"), [(OTHER, "n|12"), (OWN, "Bob|34")])
def test_a_reaction_in_a_private_chat_is_shown_there(by: AccountId, target: str) -> None:
    connection = IrcConnection(faces, "message-tags")
    pushes = connection.dialect.chats_loaded([LoadedChat(CHAT, (OWN, OTHER))], LONG_AFTER)
    connection.perform([request for push in pushes for request in push.requests])
    (line,) = connection.push(changed(by))
    assert line.endswith(f" TAGMSG {target}")
    assert line.startswith("@msgid=5-@1724400000000.4;+draft/reply=5-8;+reply=5-8;+draft/react=👍 ")


@pytest.mark.parametrize(
    ("event", "source", "shown"),
    [
        (changed(OTHER, SUMMARY), "Bob|34!u34@34", "TAGMSG #Fruit~5"),
        (changed(OTHER, SUMMARY, ChangeKind.RECALL), "Bob|34!u34@34", "REDACT #Fruit~5 5-8"),
        (Typing(CHAT, OTHER, 6000, SUMMARY), "Bob|34!u34@34", "TAGMSG #Fruit~5"),
        (changed(OWN), "n|12!u12@12", "TAGMSG #Fruit~5"),
    ],
)
def test_what_a_known_user_has_done_is_shown_without_a_request(event: Event, source: str, shown: str) -> None:
    connection = joined("message-tags draft/message-redaction")
    connection.commands.clear()
    (line,) = connection.push(event)
    assert line.endswith(f":{source}.irc.dragoman.local {shown}")
    assert connection.commands == []


def test_a_channel_that_the_client_has_left_shows_no_reactions_and_typing() -> None:
    connection = joined()
    connection.send("CAP REQ :message-tags")
    connection.push(ChatSettingsChanged(CHAT, OTHER, "", "", "", JoinPolicy.APPROVAL, receipts=False))
    connection.answer = faces
    assert len(connection.push(changed(OTHER))) == len(connection.push(Typing(CHAT, OTHER, 6000))) == 1
    connection.send("PART #Fruit~5")
    assert connection.push(changed(OTHER)) == connection.push(Typing(CHAT, OTHER, 6000)) == []
