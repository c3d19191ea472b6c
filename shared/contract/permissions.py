"""The permissions in NATS: each service's user may use exactly these subjects."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.contract import subjects as on
from shared.contract.admin import (
    CloseReport,
    ListAccounts,
    ListOwnReports,
    ListReports,
    OpenAnnouncements,
    RecordOperatorAct,
    SetMaintenance,
)
from shared.contract.audit import FindMessage, LocateMessage, TraceMessages
from shared.contract.auth import (
    ChangePassword,
    DeleteAccount,
    DescribeVerification,
    EndLogin,
    FindInactive,
    GetKeys,
    ListDeletedAccounts,
    ListLogins,
    ListRevocations,
    Login,
    Logout,
    OpenVerification,
    RecordTokenLogins,
    Refresh,
    Register,
    SendVerification,
)
from shared.contract.bots import CreateBot, CreateBotToken, CreateWebhookAccount, DeleteBot, DeleteBotToken, ListBots
from shared.contract.contacts import (
    DropPendingEvents,
    FindBlockedMembers,
    FindWatchable,
    ListPendingEvents,
    ListRequests,
    LookUpAccounts,
)
from shared.contract.drafts import GetDraft
from shared.contract.following import FollowChats, ListPositions, ReadVisible
from shared.contract.guests import KeepGuests, RegisterGuest, RenameGuest
from shared.contract.ids import NodeId
from shared.contract.made import DeleteAnyWebhook, EndMade, ExportLogins, ListAllWebhooks, ListMade
from shared.contract.message import (
    ChangeMessage,
    GetChanges,
    GetHeads,
    GetHistory,
    GetQuoted,
    GetUnread,
    MarkRead,
    MarkUnread,
    PostMessages,
    Sync,
    SyncChat,
)
from shared.contract.metadata import ListMetadata
from shared.contract.own_lists import GetOwnLists
from shared.contract.own_settings import GetOwnSettings
from shared.contract.push import FindEndedLogins, ListSubscriptions, StopMails, Unsubscribe
from shared.contract.receipts import FindReactors, FindReaders, FindReadIndexes, FindReceiptChats
from shared.contract.records import ListRecordings, StartRecording, StopRecording
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery
from shared.contract.resume import Resume
from shared.contract.routes import Route
from shared.contract.search import SearchMessages
from shared.contract.session import (
    EnsureProfile,
    FindAccounts,
    GetAccount,
    GetChat,
    GetChats,
    GetMembership,
    GetProfileSummaries,
    ListChats,
    SetProfile,
)
from shared.contract.subjects import Topic
from shared.contract.webhooks import FindIncomingWebhook


@dataclass(frozen=True)
class BusUser:
    """The permissions of one NATS user: the routes that it serves and requests, the subjects to which it publishes and
    subscribes, and the durable events that it publishes and consumes."""

    serves: tuple[Route, ...] = ()  # type: ignore[type-arg]
    requests: tuple[Route, ...] = ()  # type: ignore[type-arg]
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    events: tuple[Topic, ...] = ()  # type: ignore[type-arg]
    consumes: tuple[Topic, ...] = ()  # type: ignore[type-arg]
    settles_dead_letters: bool = False
    """Whether the user may list dead letters, remove them, and publish their events again."""
    counts_dead_letters: bool = False


NODE_USER = "node"
"""The NATS user of one process of an edge. Auth grants it only the subjects of the process's own node (auth callout).
The user `edge` may use the subjects of every node."""

AUTH_CALLOUT = "$SYS.REQ.USER.AUTH"
"""The subject on which nats-server requests the permissions of a connection."""

_CALLOUT_REPLIES = "$SYS._INBOX.>"
_NODE = "edge.*"

_OPERATOR_REQUESTS = (SetMaintenance.route, *(one for one in on.ROUTES if one.subject.startswith("auth.admin.")))
"""The requests that only an operator may send to the auth service."""

_RECORDS = (
    StartRecording.route, StopRecording.route, ListRecordings.route, Route(f"{_NODE}.recording", object, object),
)  # fmt: skip
"""The requests to edges that only an operator may send. They record frames."""


def _all_of(service: str) -> tuple[Route, ...]:  # type: ignore[type-arg]
    """The routes that a service serves."""
    return tuple(route for route in on.ROUTES if route.subject.startswith(f"{service}."))


BUS_USERS: dict[str, BusUser] = {
    "auth": BusUser(
        serves=_all_of("auth"),
        requests=(
            on.ERASE_PROFILE, on.ERASE_READ_STATE, on.DESCRIBE_SESSION_DATABASE, on.DESCRIBE_MESSAGE_DATABASE,
        ),
        publishes=(on.NOTIFY_ALL, on.AUTH_STATE, f"{_NODE}.notify", _CALLOUT_REPLIES),
        subscribes=(AUTH_CALLOUT,),
        events=(on.ACCOUNT_REGISTERED, on.BOT_REGISTERED, on.ACCOUNT_DELETED, on.MAIL_REQUESTED),
        consumes=(on.MAIL_REQUESTED, on.MAIL_DIGEST),
    ),
    "session": BusUser(
        serves=_all_of("session"),
        requests=(
            GetHeads.route, GetHistory.route, ListDeletedAccounts.route, FindInactive.route, CreateWebhookAccount.route,
            FindEndedLogins.route, FindReadIndexes.route, FollowChats.route,
            on.DESCRIBE_AUTH_DATABASE, on.DESCRIBE_MESSAGE_DATABASE,
        ),
        publishes=(on.NOTIFY_ALL, f"{_NODE}.notify", on.NEW_VERSIONS),
        subscribes=(on.PRESENCE_INCOMPLETE,),
        events=(on.MAIL_DIGEST,),
        consumes=(on.ACCOUNT_REGISTERED, on.BOT_REGISTERED, on.ACCOUNT_DELETED, on.OUTGOING_WEBHOOKS_DUE, on.PUSH_DUE),
    ),
    "message": BusUser(
        serves=(*_all_of("message"), on.post("*"), on.change("*")),
        requests=(
            ListChats.route, GetMembership.route, ListDeletedAccounts.route, on.DESCRIBE_AUTH_DATABASE,
            on.DESCRIBE_SESSION_DATABASE,
        ),
        publishes=(on.BROADCAST, on.HEARTBEAT, on.MOVED_CHATS, f"{_NODE}.deliver"),
        subscribes=(on.HEARTBEAT, on.NEW_VERSIONS, on.PRESENCE_INCOMPLETE),
        events=(on.OUTGOING_WEBHOOKS_DUE, on.PUSH_DUE),
        consumes=(on.ACCOUNT_DELETED,),
    ),
    "search": BusUser(
        serves=_all_of("search"),
        requests=(
            ListPositions.route, FollowChats.route, ReadVisible.route, ListChats.route, GetMembership.route,
            GetAccount.route, GetChat.route, GetChats.route, GetProfileSummaries.route, LookUpAccounts.route,
        ),
        subscribes=(on.MOVED_CHATS, on.NEW_VERSIONS),
    ),
    "edge": BusUser(
        serves=(Route(f"{_NODE}.flush", object, object), LocateMessage.route, TraceMessages.route, *_RECORDS),
        requests=(
            *on.FORWARDED,
            Register.route, Login.route, Logout.route, Recover.route, RequestRecovery.route, RecoverByTicket.route,
            RegisterGuest.route, RenameGuest.route, KeepGuests.route, SetProfile.route,
            SendVerification.route, OpenVerification.route, DescribeVerification.route, ChangePassword.route,
            Refresh.route, ListLogins.route, EndLogin.route, RecordTokenLogins.route, ExportLogins.route,
            RecordOperatorAct.route, DeleteAccount.route, ListRevocations.route, GetKeys.route, LookUpAccounts.route,
            CreateBot.route, ListBots.route, DeleteBot.route, CreateBotToken.route, DeleteBotToken.route,
            on.END_BOT_TOKENS,
            EnsureProfile.route, GetProfileSummaries.route, FindAccounts.route, GetChats.route,
            ListPendingEvents.route, DropPendingEvents.route, FindBlockedMembers.route, FindWatchable.route,
            FindReceiptChats.route, FindIncomingWebhook.route, StopMails.route, ListOwnReports.route, ListMade.route,
            EndMade.route, OpenAnnouncements.route, GetOwnLists.route,
            PostMessages.route, on.post("*"), Sync.route, Resume.route, SyncChat.route, GetHistory.route,
            GetQuoted.route, ChangeMessage.route, on.change("*"), GetChanges.route, FindReactors.route, GetUnread.route,
            SearchMessages.route, on.SEARCH_INCOMPLETE, MarkRead.route, MarkUnread.route, FindReadIndexes.route,
            FindReaders.route, Route(f"{_NODE}.flush", object, object),
        ),
        publishes=(on.PRESENCE_INCOMPLETE, on.EPHEMERAL_EVENT),
        subscribes=(
            on.BROADCAST, on.HEARTBEAT, on.NOTIFY_ALL, on.AUTH_STATE, on.PRESENCE_INCOMPLETE, on.EPHEMERAL_EVENT,
            f"{_NODE}.deliver", f"{_NODE}.notify",
        ),
    ),
    "admin": BusUser(
        requests=(
            *_OPERATOR_REQUESTS, GetAccount.route, GetChat.route, ListChats.route, ListRequests.route,
            GetMembership.route, GetProfileSummaries.route,
            GetHeads.route, GetHistory.route, ListRevocations.route, ListAccounts.route, OpenAnnouncements.route,
            PostMessages.route, ListReports.route, CloseReport.route, ListOwnReports.route, ListMade.route,
            GetOwnSettings.route, GetDraft.route, EndMade.route, ListBots.route, on.END_BOT_TOKENS,
            ListAllWebhooks.route, DeleteAnyWebhook.route, ListSubscriptions.route, Unsubscribe.route,
            ListMetadata.route, FindMessage.route, LocateMessage.route, TraceMessages.route, *_RECORDS,
        ),
        events=on.TOPICS,
        settles_dead_letters=True, counts_dead_letters=True,
    ),
    "dashboard": BusUser(
        requests=(FindMessage.route, LocateMessage.route, TraceMessages.route), counts_dead_letters=True
    ),
}  # fmt: skip


def needed_consumers(service: str) -> list[tuple[str, Topic]]:  # type: ignore[type-arg]
    """The consumers (service, topic) that must exist while a service works. They are its own consumers, the consumer of
    its probe, and the consumers of all events that it publishes, because an event without a consumer is not stored. The
    list is empty for users that consume no events."""
    user = BUS_USERS[service]
    if not user.consumes:
        return []
    return [
        (name, topic)
        for name, other in BUS_USERS.items()
        for topic in other.consumes
        if name == service or topic in user.events
    ] + [(service, on.health(service))]


def publishes(service: str) -> list[str]:
    """The subjects to which a service's user may publish."""
    user = BUS_USERS[service]
    grants = {route.subject for route in user.requests} | set(user.publishes) | {topic.subject for topic in user.events}
    if user.serves:
        grants |= {f"inbox.{name}.>" for name, other in BUS_USERS.items() if _serves_requests_of(user, other)}
    grants |= set(_creation_grants(service))
    for topic in user.consumes:
        name = on.durable(service, topic)
        grants |= {
            f"$JS.API.CONSUMER.INFO.{on.STREAM}.{name}", f"$JS.API.CONSUMER.MSG.NEXT.{on.STREAM}.{name}",
            f"$JS.ACK.{on.STREAM}.{name}.>",
        }  # fmt: skip
    if user.consumes:
        grants.add(f"dead.{service}.>")
    if user.counts_dead_letters:
        grants.add(f"$JS.API.STREAM.INFO.{on.DEAD_LETTERS}")
    if user.settles_dead_letters:
        grants |= {f"$JS.API.STREAM.MSG.{verb}.{on.DEAD_LETTERS}" for verb in ("GET", "DELETE")}
    return sorted(grants)


def _creation_grants(service: str) -> Iterator[str]:
    """The grants to find and create streams and consumers. They do not permit to change or remove them."""
    consumers = needed_consumers(service)
    for stream in on.STREAMS if consumers else ():
        yield from (f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.CREATE.{stream}")
    for owner, topic in consumers:
        name = on.durable(owner, topic)
        yield f"$JS.API.CONSUMER.INFO.{on.STREAM}.{name}"
        yield f"$JS.API.CONSUMER.CREATE.{on.STREAM}.{name}.{topic.subject}"
    if consumers:
        yield on.health(service).subject


def subscribes(service: str) -> list[str]:
    """The subjects to which a service's user may subscribe."""
    user = BUS_USERS[service]
    return sorted({route.subject for route in user.serves} | set(user.subscribes) | {f"inbox.{service}.>"})


def node_publishes() -> list[str]:
    """The subjects to which a node may publish. They contain no inboxes, because nats-server lets a node reply only to
    requests that it has received."""
    return [subject for subject in publishes("edge") if not subject.startswith("inbox.")]


def node_subscribes(node: NodeId) -> list[str]:
    """The subjects to which one node may subscribe: those of the user `edge`, without the subjects of other nodes."""
    own = {subject.replace(f"{_NODE}.", f"edge.{node}.") for subject in subscribes("edge")}
    return sorted(own - {"inbox.edge.>"} | {f"{node_inbox(node)}.>"})


def node_inbox(node: NodeId) -> str:
    """The prefix of the subjects on which one node gets replies."""
    return f"inbox.edge.{node}"


def _serves_requests_of(user: BusUser, other: BusUser) -> bool:
    return bool({route.subject for route in user.serves} & {route.subject for route in other.requests})
