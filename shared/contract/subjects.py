"""All NATS subjects that are used. The type of a request declares its subject, such as `ListBans.route`. This module
has all other subjects, and the subjects of request types that have several."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from shared.contract import (
    admin,
    audit,
    auth,
    bots,
    contacts,
    directory,
    drafts,
    edge,
    events,
    following,
    guests,
    happenings,
    installation,
    made,
    members,
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
from shared.contract.ids import NodeId
from shared.contract.routes import DECLARED, Ack, Forwarded, Route

Q = TypeVar("Q")


@dataclass(frozen=True)
class Topic(Generic[Q]):
    """A durable event's subject in the stream EVENTS."""

    subject: str
    event: type[Q]


DESCRIBE_AUTH_DATABASE = Route("auth.database", installation.DescribeDatabase, installation.DatabaseState)
DESCRIBE_SESSION_DATABASE = Route("session.database", installation.DescribeDatabase, installation.DatabaseState)
DESCRIBE_MESSAGE_DATABASE = Route("message.database", installation.DescribeDatabase, installation.DatabaseState)
ERASE_PROFILE = Route("session.erase_account", session.EraseAccount, Ack)
ERASE_READ_STATE = Route("message.erase_account", session.EraseAccount, Ack)
END_BOT_TOKENS = Route("auth.end_bot_tokens", made.EndMade, Ack)
LIST_USER_LOGINS = Route("auth.admin.logins", auth.ListLogins, auth.Logins)
END_USER_LOGIN = Route("auth.admin.end_login", auth.EndLogin, Ack)
DELETE_USER = Route("auth.admin.delete", auth.DeleteAccount, Ack)
CREATE_OPERATOR_BOT = Route("auth.admin.create_bot", bots.CreateBot, bots.CreatedBot)
LIST_ALL_BOTS = Route("auth.admin.bots", bots.ListBots, bots.BotList)
CREATE_ANY_BOT_TOKEN = Route("auth.admin.create_bot_token", bots.CreateBotToken, bots.CreatedBotToken)
DELETE_ANY_BOT_TOKEN = Route("auth.admin.delete_bot_token", bots.DeleteBotToken, Ack)
SEARCH_INCOMPLETE = Route("search.incomplete", search.SearchMessages, search.SearchPage, reads=True)
"""Any process of search answers this request, even if its index is incomplete. It is used while no process with a
complete index answers."""

_DECLARING = (
    admin, audit, auth, bots, contacts, directory, drafts, following, guests, happenings, made, members, message,
    metadata, own_lists, own_settings, push, receipts, records, recovery, resume, search, session, webhooks,
)  # fmt: skip
"""The modules that must be imported so that DECLARED has all requests."""
ROUTES: tuple[Route[Any, Any], ...] = (
    *sorted(DECLARED, key=lambda route: route.subject),
    DESCRIBE_AUTH_DATABASE, DESCRIBE_SESSION_DATABASE, DESCRIBE_MESSAGE_DATABASE, ERASE_PROFILE, ERASE_READ_STATE,
    END_BOT_TOKENS, LIST_USER_LOGINS, END_USER_LOGIN, DELETE_USER, CREATE_OPERATOR_BOT, LIST_ALL_BOTS,
    CREATE_ANY_BOT_TOKEN, DELETE_ANY_BOT_TOKEN, SEARCH_INCOMPLETE,
)  # fmt: skip
"""All routes, except those of single processes, which the functions below return."""
FORWARDED = tuple(route for route in ROUTES if issubclass(route.request, Forwarded))
"""The routes of requests that edges pass on for users."""

ACCOUNT_REGISTERED = Topic("events.auth.account_registered", events.AccountRegistered)
BOT_REGISTERED = Topic("events.auth.bot_registered", events.AccountRegistered)
"""Registered bots have their own subject. A version of the session service without bots would not mark the profile as a
bot's."""
ACCOUNT_DELETED = Topic("events.auth.account_deleted", events.AccountDeleted)
MAIL_REQUESTED = Topic("events.auth.mail_requested", events.MailRequested)
MAIL_DIGEST = Topic("events.session.mail_digest", events.MailRequested)
"""These mails have their own subject, so that many of them do not delay mails for which users wait."""
OUTGOING_WEBHOOKS_DUE = Topic("events.message.outgoing_hooks_due", events.OutgoingWebhooksDue)
PUSH_DUE = Topic("events.message.push_due", push.PushDue)

STREAM = "EVENTS"
STREAM_SUBJECTS = "events.>"
TOPICS: tuple[Topic, ...] = (  # type: ignore[type-arg]
    ACCOUNT_REGISTERED, BOT_REGISTERED, ACCOUNT_DELETED, MAIL_REQUESTED, MAIL_DIGEST, OUTGOING_WEBHOOKS_DUE, PUSH_DUE,
)  # fmt: skip
DEAD_LETTERS = "DEAD"
DEAD_LETTER_SUBJECTS = "dead.>"
STREAMS = (STREAM, DEAD_LETTERS)

BROADCAST = "edge.all.deliver"
HEARTBEAT = "edge.all.heartbeat"
NOTIFY_ALL = "edge.all.notify"
AUTH_STATE = "edge.all.auth"
"""Announces auth's Revocations, without the list, to every edge each second."""

EPHEMERAL_EVENT = "edge.all.signal"
"""Carries an EphemeralEvent from one edge to every edge."""

NEW_VERSIONS = "message.all.versions"
"""Announces MembershipVersions to every replica of the message service."""

MOVED_CHATS = "search.all.moved"
"""Carries MovedChats from one replica of the message service to every process of search."""

PRESENCE_INCOMPLETE = "edge.all.presence"
"""Announces PresenceIncomplete to every process that looks up presence: message, session and edges."""


def deliver(node: NodeId) -> str:
    """The subject of delivery batches for one edge node."""
    return f"edge.{node}.deliver"


def notify(node: NodeId) -> str:
    return f"edge.{node}.notify"


def flush(node: NodeId) -> Route[edge.FlushReadState, edge.ReadStateFlushed]:
    return Route(f"edge.{node}.flush", edge.FlushReadState, edge.ReadStateFlushed, "edge.*.flush")


def recording(node: NodeId) -> Route[records.ReadRecording, records.RecordingPage]:
    return Route(f"edge.{node}.recording", records.ReadRecording, records.RecordingPage, "edge.*.recording")


@lru_cache(maxsize=256)
def post(replica: str) -> Route[message.PostMessages, message.PostResults]:
    """The route by which PostMessages is sent to one replica of the message service, for the chats of the partitions
    that this replica leads."""
    return Route(f"message.{replica}.post", message.PostMessages, message.PostResults, "message.*.post")


@lru_cache(maxsize=256)
def change(replica: str) -> Route[message.ChangeMessage, message.Changed]:
    """The route by which ChangeMessage is sent to one replica of the message service."""
    return Route(f"message.{replica}.change", message.ChangeMessage, message.Changed, "message.*.change")


def health(service: str) -> Topic[events.HealthProbe]:
    """The probe by which a service tests the stream of events. It is stored in this stream, because after the disk was
    full, one stream may store messages while another does not."""
    return Topic(f"events.{service}.health", events.HealthProbe)


def health_inbox(service: str) -> str:
    """The subject to which the service's probes are delivered."""
    return f"inbox.{service}.health"


def durable(service: str, topic: Topic[Q]) -> str:
    """The name of a service's durable consumer of a topic."""
    return f"{service}-{topic.subject.rsplit('.', 1)[-1]}"
