"""Who may say what on the bus: each service's NATS user has exactly these subjects, and no other."""

from dataclasses import dataclass

from shared.contract import subjects as on
from shared.contract.subjects import Route, Topic


@dataclass(frozen=True)
class BusUser:
    """What one service answers, asks, tells, hears; the durable events it makes and works on."""

    serves: tuple[Route, ...] = ()  # type: ignore[type-arg]
    asks: tuple[Route, ...] = ()  # type: ignore[type-arg]
    tells: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    emits: tuple[Topic, ...] = ()  # type: ignore[type-arg]
    works_on: tuple[Topic, ...] = ()  # type: ignore[type-arg]
    settles_dead_letters: bool = False
    """Reads and removes what was given up, and may emit it again."""


_NODE = "edge.*"

_ACTS = (on.SET_MAINTENANCE, on.FIND_USER, on.SET_DISABLED, on.RESET_PASSWORD, on.KICK, on.DELETE_USER)
"""What only an operator may ask auth."""

_PEOPLE_AND_GROUPS = (
    on.GET_PROFILE_SUMMARIES, on.FIND_ACCOUNTS, on.REQUEST_FRIENDSHIP, on.ANSWER_FRIENDSHIP, on.END_FRIENDSHIP,
    on.OPEN_PRIVATE_CHAT, on.REQUEST_MEMBERSHIP, on.ANSWER_MEMBERSHIP, on.ADD_MEMBER, on.RENAME_CHAT, on.LIST_REQUESTS,
    on.LIST_CHAT_VIEWS, on.LIST_PENDING_NOTICES, on.DROP_PENDING_NOTICES,
)  # fmt: skip
"""What edges ask session on behalf of people about each other and their groups."""

BUS_USERS: dict[str, BusUser] = {
    "auth": BusUser(
        serves=(
            on.REGISTER, on.LOGIN, on.LOGOUT, on.RECOVER, on.SET_SECURITY, on.SEND_VERIFICATION, on.OPEN_VERIFICATION,
            on.DELETE_ACCOUNT, on.LIST_REVOCATIONS, on.GET_KEYS, *_ACTS,
        ),
        asks=(on.ERASE_PROFILE, on.ERASE_READ_STATE),
        tells=(on.NOTIFY_ALL, f"{_NODE}.notify"),
        emits=(on.ACCOUNT_REGISTERED, on.ACCOUNT_DELETED, on.MAIL_REQUESTED),
        works_on=(on.MAIL_REQUESTED,),
    ),
    "session": BusUser(
        serves=(
            on.ENSURE_PROFILE, on.GET_ACCOUNT, on.SET_PROFILE, on.CREATE_CHAT, on.GET_CHAT, on.LIST_CHATS,
            on.GET_MEMBERSHIP, on.ERASE_PROFILE, *_PEOPLE_AND_GROUPS, on.LIST_ACCOUNTS, on.OPEN_NOTICES,
        ),
        asks=(on.GET_HEADS,),
        tells=(on.NOTIFY_ALL, f"{_NODE}.notify"),
        works_on=(on.ACCOUNT_REGISTERED, on.ACCOUNT_DELETED),
    ),
    "message": BusUser(
        serves=(
            on.POST_MESSAGES, on.SYNC, on.SYNC_CHAT, on.GET_HISTORY, on.GET_UNREAD, on.MARK_READ, on.GET_HEADS,
            on.ERASE_READ_STATE,
        ),
        asks=(on.LIST_CHATS, on.GET_MEMBERSHIP),
        tells=(on.BROADCAST, on.HEARTBEAT, f"{_NODE}.deliver"),
        works_on=(on.ACCOUNT_DELETED,),
    ),
    "edge": BusUser(
        serves=(Route(f"{_NODE}.flush", object, object),),
        asks=(
            on.REGISTER, on.LOGIN, on.LOGOUT, on.RECOVER, on.SET_SECURITY, on.SEND_VERIFICATION, on.OPEN_VERIFICATION,
            on.DELETE_ACCOUNT, on.LIST_REVOCATIONS, on.GET_KEYS, on.ENSURE_PROFILE, on.GET_ACCOUNT, on.SET_PROFILE,
            on.CREATE_CHAT,
            on.GET_CHAT, *_PEOPLE_AND_GROUPS, on.POST_MESSAGES, on.SYNC, on.SYNC_CHAT, on.GET_HISTORY, on.GET_UNREAD,
            on.MARK_READ, Route(f"{_NODE}.flush", object, object),
        ),
        hears=(on.BROADCAST, on.HEARTBEAT, on.NOTIFY_ALL, f"{_NODE}.deliver", f"{_NODE}.notify"),
    ),
    "admin": BusUser(
        asks=(
            *_ACTS, on.GET_ACCOUNT, on.GET_CHAT, on.LIST_CHATS, on.LIST_REQUESTS, on.GET_MEMBERSHIP,
            on.GET_PROFILE_SUMMARIES,
            on.GET_HEADS, on.GET_HISTORY, on.LIST_REVOCATIONS, on.LIST_ACCOUNTS, on.OPEN_NOTICES, on.POST_MESSAGES,
        ),
        emits=(on.ACCOUNT_REGISTERED, on.ACCOUNT_DELETED, on.MAIL_REQUESTED),
        settles_dead_letters=True,
    ),
}  # fmt: skip


def publishes(service: str) -> list[str]:
    """NATS publish grants of a service's user."""
    peer = BUS_USERS[service]
    grants = {route.subject for route in peer.asks} | set(peer.tells) | {topic.subject for topic in peer.emits}
    if peer.serves:
        grants |= {f"inbox.{asker}.>" for asker, other in BUS_USERS.items() if _answers(peer, other)}
    for topic in peer.works_on:
        name = on.durable(service, topic)
        grants |= {
            f"$JS.API.CONSUMER.INFO.{on.STREAM}.{name}", f"$JS.API.CONSUMER.MSG.NEXT.{on.STREAM}.{name}",
            f"$JS.ACK.{on.STREAM}.{name}.>",
        }  # fmt: skip
    if peer.works_on:
        grants.add(f"dead.{service}.>")
    if peer.settles_dead_letters:
        grants |= {f"$JS.API.STREAM.MSG.{verb}.{on.DEAD_LETTERS}" for verb in ("GET", "DELETE")}
    return sorted(grants)


def subscribes(service: str) -> list[str]:
    """NATS subscribe grants of a service's user."""
    peer = BUS_USERS[service]
    return sorted({route.subject for route in peer.serves} | set(peer.hears) | {f"inbox.{service}.>"})


def _answers(peer: BusUser, other: BusUser) -> bool:
    return bool({route.subject for route in peer.serves} & {route.subject for route in other.asks})
