"""An event of each kind, for the tables of docs/interop.py."""

from collections.abc import Mapping
from typing import NamedTuple

from services.edge.canonical.commands import Command, FetchUnread, GetServerStatus, ReadHistory
from services.edge.canonical.events import (
    ChatJoined,
    ChatLeft,
    Departure,
    Event,
    MaintenanceChanged,
    MessageChanged,
    RoleChanged,
    VerificationEnded,
)
from services.edge.canonical.replies import DisplayChange
from shared.contract import ephemeral
from shared.contract.contacts import ListRequests
from shared.contract.drafts import DraftPreview
from shared.contract.edge import (
    ChatModesChanged,
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    Invited,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.members import ListMembers, ModeChange
from shared.contract.message import ChangeKind, GetHistory, MessageChange
from shared.contract.metadata import NO_CHAT, MetadataValue
from shared.contract.model import JoinPolicy, Profile, ProfileSummary, RichSegment, Role, Text
from shared.contract.own_settings import OwnSettings
from shared.contract.session import GetAccount, GetChat, ListChatViews

ME, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)
HERE = NodeId("a"), 1
SUMMARY = ProfileSummary("name", "u", nick="name", guest="~u")


class EventRow(NamedTuple):
    """A row of the table of events. `found_by`: the requests by which a client finds the change if the event is not
    pushed. The table shows the first of them that the dialect has."""

    event: Event
    found_by: tuple[type[Command], ...] = ()


def _changed(kind: ChangeKind, segments: tuple[RichSegment, ...] = ()) -> MessageChanged:
    return MessageChanged(DisplayChange(MessageChange(CHAT, 1, 1, kind, OTHER, 0), segments))


_READING = (GetHistory, ReadHistory, FetchUnread)
EVENTS: Mapping[str, EventRow] = {
    "the account is in a new chat": EventRow(ChatJoined(CHAT), (ListChatViews, GetAccount)),
    "the account has left a chat": EventRow(ChatLeft(CHAT, Departure.KICKED), (ListChatViews, GetAccount)),
    "a member has a new role, or has left": EventRow(RoleChanged(CHAT, OTHER, Role.ADMIN, OTHER), (ListMembers,)),
    "a message was edited": EventRow(_changed(ChangeKind.EDIT, (Text("words"),)), _READING),
    "a message was recalled": EventRow(_changed(ChangeKind.RECALL), _READING),
    "a reaction was added or removed": EventRow(_changed(ChangeKind.REACTION)),
    "a message was pinned or unpinned": EventRow(_changed(ChangeKind.PIN)),
    "a chat has a new name": EventRow(ChatRenamed(CHAT, "name", OTHER), (GetChat, ListChatViews)),
    "a group has a new picture or topic, or other settings": EventRow(
        ephemeral.ChatSettingsChanged(CHAT, OTHER, "", "", "words", JoinPolicy.OPEN, receipts=True)
    ),
    "a user applies to join": EventRow(MembershipApplied(OTHER, CHAT, "words"), (ListRequests,)),
    "a user has joined": EventRow(MembershipAnswered(CHAT, "name", OTHER, True), (GetChat, ListChatViews)),
    "an application is rejected": EventRow(MembershipAnswered(CHAT, "name", ME, False)),
    "a friend request arrives": EventRow(FriendshipRequested(OTHER, ME, "words"), (ListRequests,)),
    "a friend request is accepted": EventRow(FriendshipAnswered(ME, OTHER, True), (GetAccount,)),
    "a friend request is rejected": EventRow(FriendshipAnswered(ME, OTHER, False)),
    "a user has a new name": EventRow(ProfileChanged(Profile(id=OTHER, uuid="u", nickname="name")), (GetAccount,)),
    "a member writes a message": EventRow(ephemeral.Typing(CHAT, OTHER, 6000)),
    "a watched user has another state": EventRow(ephemeral.PresenceChanged(OTHER, "away")),
    "the account has read a chat on another connection": EventRow(ephemeral.ChatRead(CHAT, 2, 1)),
    "the account has muted a chat on another connection": EventRow(ephemeral.ChatMuted(CHAT, ME, 0, True, HERE)),
    "the account has pinned or archived a chat elsewhere": EventRow(ephemeral.ChatPlaced(CHAT, ME, True, False, HERE)),
    "the account has another draft elsewhere": EventRow(
        ephemeral.DraftChanged(CHAT, ME, DraftPreview(1, "words"), HERE)
    ),
    "the account has read until a time on IRC elsewhere": EventRow(ephemeral.ReadTimeMoved(CHAT, ME, 1, HERE)),
    "the account has changed its settings elsewhere": EventRow(ephemeral.OwnSettingsChanged(ME, OwnSettings(1), HERE)),
    "other members have read a chat": EventRow(ephemeral.ReceiptsShown(CHAT, ((OTHER, 2),))),
    "modes of a group have changed": EventRow(ChatModesChanged(CHAT, OTHER, [ModeChange(True, "s")])),
    "a user is invited": EventRow(Invited(CHAT, OTHER, ME, "name")),
    "a client of a member sends tags": EventRow(ephemeral.TagsRelayed(CHAT, OTHER, {"+x": "y"}, SUMMARY, HERE[0])),
    "a member is away or back": EventRow(ephemeral.AwayChanged(OTHER, SUMMARY, "words", [CHAT], HERE[0])),
    "a text of an account or group under a key has changed": EventRow(
        ephemeral.MetadataChanged(OTHER, SUMMARY, MetadataValue(OTHER, NO_CHAT, "key", "value"), [CHAT], HERE[0])
    ),
    "a monitored guest comes or leaves": EventRow(ephemeral.NickSeen(OTHER, SUMMARY, True, HERE[0])),
    "an operator of IRC acts": EventRow(ephemeral.OperatorActed(OTHER, SUMMARY, "text", NO_ACCOUNT, HERE[0])),
    "maintenance begins or ends": EventRow(MaintenanceChanged(True), (GetServerStatus,)),
    "the mailed link was opened": EventRow(VerificationEnded("passed")),
}
