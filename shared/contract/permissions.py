"""Permissions on the bus: each service's NATS user may use exactly these subjects."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.contract import subjects as on
from shared.contract.ids import NodeId
from shared.contract.subjects import Route, Topic


@dataclass(frozen=True)
class BusUser:
    """One NATS user: the routes it serves and requests, the subjects it publishes and subscribes, the durable events it
    publishes and consumes."""

    serves: tuple[Route, ...] = ()  # type: ignore[type-arg]
    requests: tuple[Route, ...] = ()  # type: ignore[type-arg]
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    events: tuple[Topic, ...] = ()  # type: ignore[type-arg]
    consumes: tuple[Topic, ...] = ()  # type: ignore[type-arg]
    settles_dead_letters: bool = False
    """Reads and removes dead letters, and may publish them again."""
    counts_dead_letters: bool = False


NODE_USER = "node"
"""The user of one process of an edge, with the subjects of its own node alone: auth grants them (auth callout). The
user `edge` may use those of every node."""

AUTH_CALLOUT = "$SYS.REQ.USER.AUTH"
"""nats-server's requests to grant a connection its subjects."""

_CALLOUT_REPLIES = "$SYS._INBOX.>"
_NODE = "edge.*"

_OPERATOR_REQUESTS = (
    on.SET_MAINTENANCE, on.FIND_USER, on.SET_DISABLED, on.RESET_PASSWORD, on.KICK, on.DELETE_USER, on.LIST_USER_LOGINS,
    on.END_USER_LOGIN, on.SEARCH_TRAIL, on.RECORD_ACT, on.CREATE_OPERATOR_BOT, on.LIST_ALL_BOTS,
    on.CREATE_ANY_BOT_TOKEN, on.DELETE_ANY_BOT_TOKEN, on.LIST_DUPLICATES,
)  # fmt: skip
"""Requests to auth that only an operator may send."""

_OWN_LOGINS = (
    on.CHANGE_PASSWORD, on.REQUEST_RECOVERY, on.RECOVER_BY_TICKET, on.REFRESH, on.LIST_LOGINS, on.END_LOGIN,
    on.RECORD_TOKEN_LOGINS, on.EXPORT_LOGINS, on.CREATE_BOT, on.LIST_BOTS, on.DELETE_BOT, on.CREATE_BOT_TOKEN,
    on.DELETE_BOT_TOKEN, on.END_BOT_TOKENS,
)  # fmt: skip
"""Requests to auth that edges send for users: about their own logins and bots."""

_CONTACTS_AND_GROUPS = (
    on.GET_PROFILE_SUMMARIES, on.FIND_ACCOUNTS, on.REQUEST_FRIENDSHIP, on.ANSWER_FRIENDSHIP, on.END_FRIENDSHIP,
    on.OPEN_PRIVATE_CHAT, on.REQUEST_MEMBERSHIP, on.ANSWER_MEMBERSHIP, on.ADD_MEMBER, on.END_MEMBERSHIP, on.RENAME_CHAT,
    on.LIST_REQUESTS, on.LIST_CHAT_VIEWS, on.GET_CHATS, on.LIST_PENDING_NOTICES, on.DROP_PENDING_NOTICES, on.SET_ROLE,
    on.LIST_MEMBERS, on.SET_BLOCKED, on.LIST_BLOCKED, on.BAN_MEMBER, on.UNBAN_MEMBER, on.LIST_BANS,
    on.SILENCE_MEMBER, on.DISBAND_CHAT, on.CREATE_LINK, on.LIST_LINKS, on.DELETE_LINK, on.JOIN_BY_LINK,
    on.FIND_BLOCKED_MEMBERS, on.FIND_WATCHABLE, on.SET_CHAT, on.SET_CHAT_RULES, on.FIND_RECEIPT_CHATS, on.MUTE_CHAT,
    on.CREATE_HOOK, on.LIST_HOOKS, on.DELETE_HOOK, on.FIND_HOOK, on.CREATE_OUTGOING_HOOK, on.LIST_OUTGOING_HOOKS,
    on.DELETE_OUTGOING_HOOK, on.REPLAY_OUTGOING_HOOK, on.REPORT_MESSAGE, on.LIST_OWN_REPORTS, on.ADD_MEMBERS,
    on.LIST_MADE, on.END_MADE,
)  # fmt: skip
"""Requests to session that edges send for users: contacts and groups."""

_RECORDS = (
    on.START_RECORDING, on.STOP_RECORDING, on.LIST_RECORDINGS, Route(f"{_NODE}.recording", object, object),
)  # fmt: skip
"""Requests to edges that only an operator may send: records of frames."""

BUS_USERS: dict[str, BusUser] = {
    "auth": BusUser(
        serves=(
            on.REGISTER, on.LOGIN, on.LOGOUT, on.RECOVER, on.SET_SECURITY, on.SEND_VERIFICATION, on.OPEN_VERIFICATION,
            on.DESCRIBE_VERIFICATION,
            on.DELETE_ACCOUNT, on.LIST_REVOCATIONS, on.GET_KEYS, on.LIST_DELETED_ACCOUNTS, on.LOOK_UP_ACCOUNTS,
            on.FIND_INACTIVE, on.CREATE_HOOK_ACCOUNT, *_OWN_LOGINS, *_OPERATOR_REQUESTS, on.DESCRIBE_AUTH_DATABASE,
        ),
        requests=(
            on.ERASE_PROFILE, on.ERASE_READ_STATE, on.DESCRIBE_SESSION_DATABASE, on.DESCRIBE_MESSAGE_DATABASE,
        ),
        publishes=(on.NOTIFY_ALL, on.AUTH_STATE, f"{_NODE}.notify", _CALLOUT_REPLIES),
        subscribes=(AUTH_CALLOUT,),
        events=(on.ACCOUNT_REGISTERED, on.BOT_REGISTERED, on.ACCOUNT_DELETED, on.MAIL_REQUESTED),
        consumes=(on.MAIL_REQUESTED,),
    ),
    "session": BusUser(
        serves=(
            on.ENSURE_PROFILE, on.GET_ACCOUNT, on.SET_PROFILE, on.CREATE_CHAT, on.GET_CHAT, on.LIST_CHATS,
            on.GET_MEMBERSHIP, on.ERASE_PROFILE, *_CONTACTS_AND_GROUPS, on.LIST_ACCOUNTS, on.OPEN_NOTICES,
            on.LIST_REPORTS, on.CLOSE_REPORT, on.LIST_ALL_HOOKS, on.DELETE_ANY_HOOK, on.DESCRIBE_SESSION_DATABASE,
        ),
        requests=(
            on.GET_HEADS, on.GET_HISTORY, on.LIST_DELETED_ACCOUNTS, on.FIND_INACTIVE,
            on.CREATE_HOOK_ACCOUNT, on.DESCRIBE_AUTH_DATABASE,
            on.DESCRIBE_MESSAGE_DATABASE,
        ),
        publishes=(on.NOTIFY_ALL, f"{_NODE}.notify", on.NEW_VERSIONS),
        subscribes=(on.PRESENCE_INCOMPLETE,),
        consumes=(on.ACCOUNT_REGISTERED, on.BOT_REGISTERED, on.ACCOUNT_DELETED, on.OUTGOING_HOOKS_DUE),
    ),
    "message": BusUser(
        serves=(
            on.POST_MESSAGES, on.post("*"), on.SYNC, on.RESUME, on.SYNC_CHAT, on.GET_HISTORY, on.GET_UNREAD,
            on.MARK_READ, on.GET_HEADS, on.ERASE_READ_STATE, on.FIND_MESSAGE, on.CHANGE_MESSAGE, on.change("*"),
            on.GET_CHANGES, on.GET_QUOTED, on.SEARCH, on.FIND_READ_INDEXES, on.FIND_READERS, on.FIND_REACTORS,
            on.DESCRIBE_MESSAGE_DATABASE,
        ),
        requests=(
            on.LIST_CHATS, on.GET_MEMBERSHIP, on.LIST_DELETED_ACCOUNTS, on.DESCRIBE_AUTH_DATABASE,
            on.DESCRIBE_SESSION_DATABASE,
        ),
        publishes=(on.BROADCAST, on.HEARTBEAT, f"{_NODE}.deliver"),
        subscribes=(on.HEARTBEAT, on.NEW_VERSIONS, on.PRESENCE_INCOMPLETE),
        events=(on.OUTGOING_HOOKS_DUE,),
        consumes=(on.ACCOUNT_DELETED,),
    ),
    "edge": BusUser(
        serves=(Route(f"{_NODE}.flush", object, object), on.LOCATE_MESSAGE, on.TRACE_MESSAGES, *_RECORDS),
        requests=(
            on.REGISTER, on.LOGIN, on.LOGOUT, on.RECOVER, on.SET_SECURITY, on.SEND_VERIFICATION, on.OPEN_VERIFICATION,
            on.DESCRIBE_VERIFICATION,
            on.DELETE_ACCOUNT, on.LIST_REVOCATIONS, on.GET_KEYS, on.ENSURE_PROFILE, on.GET_ACCOUNT, on.SET_PROFILE,
            on.CREATE_CHAT,
            on.GET_CHAT, *_CONTACTS_AND_GROUPS, on.POST_MESSAGES, on.post("*"), on.SYNC, on.RESUME, on.SYNC_CHAT,
            on.GET_HISTORY, on.GET_QUOTED, on.CHANGE_MESSAGE, on.change("*"), on.GET_CHANGES, on.FIND_REACTORS,
            on.GET_UNREAD, on.SEARCH, on.MARK_READ, on.FIND_READ_INDEXES, on.FIND_READERS, *_OWN_LOGINS,
            on.LOOK_UP_ACCOUNTS, Route(f"{_NODE}.flush", object, object), on.OPEN_NOTICES,
        ),
        publishes=(on.PRESENCE_INCOMPLETE, on.SIGNAL),
        subscribes=(
            on.BROADCAST, on.HEARTBEAT, on.NOTIFY_ALL, on.AUTH_STATE, on.PRESENCE_INCOMPLETE, on.SIGNAL,
            f"{_NODE}.deliver", f"{_NODE}.notify",
        ),
    ),
    "admin": BusUser(
        requests=(
            *_OPERATOR_REQUESTS, on.GET_ACCOUNT, on.GET_CHAT, on.LIST_CHATS, on.LIST_REQUESTS, on.GET_MEMBERSHIP,
            on.GET_PROFILE_SUMMARIES,
            on.GET_HEADS, on.GET_HISTORY, on.LIST_REVOCATIONS, on.LIST_ACCOUNTS, on.OPEN_NOTICES, on.POST_MESSAGES,
            on.LIST_REPORTS, on.CLOSE_REPORT, on.LIST_OWN_REPORTS, on.LIST_MADE, on.END_MADE, on.LIST_BOTS,
            on.END_BOT_TOKENS, on.LIST_ALL_HOOKS, on.DELETE_ANY_HOOK,
            on.FIND_MESSAGE, on.LOCATE_MESSAGE, on.TRACE_MESSAGES, *_RECORDS,
        ),
        events=on.TOPICS,
        settles_dead_letters=True, counts_dead_letters=True,
    ),
    "dashboard": BusUser(
        requests=(on.FIND_MESSAGE, on.LOCATE_MESSAGE, on.TRACE_MESSAGES), counts_dead_letters=True
    ),
}  # fmt: skip


def needed_consumers(service: str) -> list[tuple[str, Topic]]:  # type: ignore[type-arg]
    """The consumers (service, topic) that must exist while a service works: its own, that of its probe, and all of the
    events that it publishes, because an event without a consumer is not stored. None for users that consume no
    events."""
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
    """NATS publish grants of a service's user."""
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
    """To find and create what is missing; neither to change nor to remove what exists."""
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
    """NATS subscribe grants of a service's user."""
    user = BUS_USERS[service]
    return sorted({route.subject for route in user.serves} | set(user.subscribes) | {f"inbox.{service}.>"})


def node_publishes() -> list[str]:
    """NATS publish grants of a node. It replies to the requests that it receives, and to no other inbox."""
    return [subject for subject in publishes("edge") if not subject.startswith("inbox.")]


def node_subscribes(node: NodeId) -> list[str]:
    """NATS subscribe grants of one node: those of the user `edge`, less the subjects of other nodes."""
    own = {subject.replace(f"{_NODE}.", f"edge.{node}.") for subject in subscribes("edge")}
    return sorted(own - {"inbox.edge.>"} | {f"{node_inbox(node)}.>"})


def node_inbox(node: NodeId) -> str:
    """The prefix of the subjects of replies to one node."""
    return f"inbox.edge.{node}"


def _serves_requests_of(user: BusUser, other: BusUser) -> bool:
    return bool({route.subject for route in user.serves} & {route.subject for route in other.requests})
