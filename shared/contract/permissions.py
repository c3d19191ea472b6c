"""The permissions in NATS: each service's user may use exactly these subjects."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.contract import (
    admin,
    audit,
    auth,
    bots,
    contacts,
    drafts,
    following,
    guests,
    made,
    message,
    metadata,
    own_lists,
    own_settings,
    push,
    receipts,
    records,
    recovery,
    resume,
    search,
    session,
    webhooks,
)
from shared.contract import subjects as on
from shared.contract.ids import NodeId
from shared.contract.routes import Route
from shared.contract.subjects import Topic


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

_OPERATOR_REQUESTS = (admin.SetMaintenance.route, *(one for one in on.ROUTES if one.subject.startswith("auth.admin.")))
"""The requests that only an operator may send to the auth service."""

_RECORDS = (
    records.StartRecording.route, records.StopRecording.route, records.ListRecordings.route,
    Route(f"{_NODE}.recording", object, object),
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
            message.GetHeads.route, message.GetHistory.route, auth.ListDeletedAccounts.route, auth.FindInactive.route,
            bots.CreateWebhookAccount.route, push.FindEndedLogins.route, receipts.FindReadIndexes.route,
            following.FollowChats.route, on.DESCRIBE_AUTH_DATABASE, on.DESCRIBE_MESSAGE_DATABASE,
        ),
        publishes=(on.NOTIFY_ALL, f"{_NODE}.notify", on.NEW_VERSIONS),
        subscribes=(on.PRESENCE_INCOMPLETE,),
        events=(on.MAIL_DIGEST,),
        consumes=(on.ACCOUNT_REGISTERED, on.BOT_REGISTERED, on.ACCOUNT_DELETED, on.OUTGOING_WEBHOOKS_DUE, on.PUSH_DUE),
    ),
    "message": BusUser(
        serves=(*_all_of("message"), on.post("*"), on.change("*")),
        requests=(
            session.ListChats.route, session.GetMembership.route, auth.ListDeletedAccounts.route,
            on.DESCRIBE_AUTH_DATABASE, on.DESCRIBE_SESSION_DATABASE,
        ),
        publishes=(on.BROADCAST, on.HEARTBEAT, on.MOVED_CHATS, f"{_NODE}.deliver"),
        subscribes=(on.HEARTBEAT, on.NEW_VERSIONS, on.PRESENCE_INCOMPLETE),
        events=(on.OUTGOING_WEBHOOKS_DUE, on.PUSH_DUE),
        consumes=(on.ACCOUNT_DELETED,),
    ),
    "search": BusUser(
        serves=_all_of("search"),
        requests=(
            following.ListPositions.route, following.FollowChats.route, following.ReadVisible.route,
            session.ListChats.route, session.GetMembership.route, session.GetAccount.route, session.GetChat.route,
            session.GetChats.route, session.GetProfileSummaries.route, contacts.LookUpAccounts.route,
        ),
        subscribes=(on.MOVED_CHATS, on.NEW_VERSIONS),
    ),
    "edge": BusUser(
        serves=(
            Route(f"{_NODE}.flush", object, object), audit.LocateMessage.route, audit.TraceMessages.route, *_RECORDS,
        ),
        requests=(
            *on.FORWARDED, auth.Register.route, auth.Login.route, auth.Logout.route, recovery.Recover.route,
            recovery.RequestRecovery.route, recovery.RecoverByTicket.route, guests.RegisterGuest.route,
            guests.RenameGuest.route, guests.KeepGuests.route, session.SetProfile.route, auth.SendVerification.route,
            auth.OpenVerification.route, auth.DescribeVerification.route, auth.ChangePassword.route, auth.Refresh.route,
            auth.ListLogins.route, auth.EndLogin.route, auth.RecordTokenLogins.route, made.ExportLogins.route,
            admin.RecordOperatorAct.route, auth.DeleteAccount.route, auth.ListRevocations.route, auth.GetKeys.route,
            contacts.LookUpAccounts.route, bots.CreateBot.route, bots.ListBots.route, bots.DeleteBot.route,
            bots.CreateBotToken.route, bots.DeleteBotToken.route, on.END_BOT_TOKENS, session.EnsureProfile.route,
            session.GetProfileSummaries.route, session.FindAccounts.route, session.GetChats.route,
            contacts.ListPendingEvents.route, contacts.DropPendingEvents.route, contacts.FindBlockedMembers.route,
            contacts.FindWatchable.route, receipts.FindReceiptChats.route, webhooks.FindIncomingWebhook.route,
            push.StopMails.route, admin.ListOwnReports.route, made.ListMade.route, made.EndMade.route,
            admin.OpenAnnouncements.route, own_lists.GetOwnLists.route, message.PostMessages.route, on.post("*"),
            message.Sync.route, resume.Resume.route, message.SyncChat.route, message.GetHistory.route,
            message.GetQuoted.route, message.ChangeMessage.route, on.change("*"), message.GetChanges.route,
            message.GetUnread.route, search.SearchMessages.route, on.SEARCH_INCOMPLETE,
            message.MarkRead.route, message.OpenDevice.route, message.MarkUnread.route, receipts.FindReadIndexes.route,
            receipts.FindReaders.route, Route(f"{_NODE}.flush", object, object),
        ),
        publishes=(on.PRESENCE_INCOMPLETE, on.EPHEMERAL_EVENT),
        subscribes=(
            on.BROADCAST, on.HEARTBEAT, on.NOTIFY_ALL, on.AUTH_STATE, on.PRESENCE_INCOMPLETE, on.EPHEMERAL_EVENT,
            f"{_NODE}.deliver", f"{_NODE}.notify",
        ),
    ),
    "admin": BusUser(
        requests=(
            *_OPERATOR_REQUESTS, session.GetAccount.route, session.GetChat.route, session.ListChats.route,
            contacts.ListRequests.route, session.GetMembership.route, session.GetProfileSummaries.route,
            message.GetHeads.route, message.GetHistory.route, message.ListDevices.route, auth.ListRevocations.route,
            admin.ListAccounts.route,
            admin.OpenAnnouncements.route, message.PostMessages.route, admin.ListReports.route, admin.CloseReport.route,
            admin.ListOwnReports.route, made.ListMade.route, own_settings.GetOwnSettings.route, drafts.GetDraft.route,
            made.EndMade.route, bots.ListBots.route, on.END_BOT_TOKENS, made.ListAllWebhooks.route,
            made.DeleteAnyWebhook.route, push.ListSubscriptions.route, push.Unsubscribe.route,
            metadata.ListMetadata.route, audit.FindMessage.route, audit.LocateMessage.route, audit.TraceMessages.route,
            *_RECORDS,
        ),
        events=on.TOPICS,
        settles_dead_letters=True, counts_dead_letters=True,
    ),
    "dashboard": BusUser(
        requests=(audit.FindMessage.route, audit.LocateMessage.route, audit.TraceMessages.route),
        counts_dead_letters=True,
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
