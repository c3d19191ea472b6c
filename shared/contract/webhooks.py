"""The requests to the session service about webhooks. By an incoming webhook, a program without an account posts to a
group. An outgoing webhook posts a group's messages to a URL."""

from enum import StrEnum

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Confidential
from shared.contract.routes import Ack, Forwarded, Routed


class CreatedIncomingWebhook(Confidential, msgspec.Struct, frozen=True):
    """`secret`: 192 random bits, shown once. `hook`: the webhook's name, which is no secret."""

    hook: str
    secret: str
    account: AccountId = NO_ACCOUNT
    """The account of the webhook, which is the sender of its messages."""


class CreateIncomingWebhook(Forwarded):
    """The owner or an admin of a group makes a webhook. Every program that has the secret can post as the webhook while
    its maker manages the group. `name`: the nickname of the webhook's account. `nonce`: see CreateLink. Error: `limit`
    for too many webhooks of a group."""

    route = Routed("session.create_hook", CreatedIncomingWebhook)
    chat: ChatId
    name: str
    nonce: str = ""


class IncomingWebhookView(msgspec.Struct, frozen=True):
    """`paused`: the webhook posts nothing, because its maker may not manage the group now, or `account` is disabled."""

    hook: str
    name: str
    by: AccountId
    created: int
    paused: bool = False
    account: AccountId = NO_ACCOUNT


class IncomingWebhookList(msgspec.Struct, frozen=True):
    """The webhooks, oldest first."""

    hooks: list[IncomingWebhookView]


class ListIncomingWebhooks(Forwarded):
    """A request for the incoming webhooks of a group; only the owner and the admins may send it (`forbidden`)."""

    route = Routed("session.list_hooks", IncomingWebhookList, reads=True)
    chat: ChatId


class DeleteIncomingWebhook(Forwarded):
    """The owner or an admin deletes a webhook. A repetition changes nothing."""

    route = Routed("session.delete_hook", Ack)
    chat: ChatId
    hook: str


class FoundIncomingWebhook(msgspec.Struct, frozen=True):
    """A webhook. `account`: the sender of its messages. The messages need the permissions of `by`, the webhook's
    maker."""

    hook: str
    chat: ChatId
    name: str
    by: AccountId
    account: AccountId = NO_ACCOUNT


class FindIncomingWebhook(Confidential, msgspec.Struct):
    """Finds the webhook with a secret. `digest`: the secret's sha256 in hex. Errors: `not_found`, `forbidden` while the
    maker may not manage the group."""

    route = Routed("session.find_hook", FoundIncomingWebhook)
    digest: str


class CreatedOutgoingWebhook(Confidential, msgspec.Struct, frozen=True):
    """`secret`: the key that signs the webhook's requests, shown once. `hook`: the webhook's name, which is no secret.
    `next`: the index of the first message to post."""

    hook: str
    secret: str
    next: int


class CreateOutgoingWebhook(Confidential, Forwarded):
    """The owner or an admin of a group makes a webhook. Later messages of the group are posted to the URL `endpoint`
    while the maker manages the group. `nonce`: see CreateLink. Errors: `limit` for too many webhooks of a group,
    `invalid` for an address that is not permitted."""

    route = Routed("session.create_outgoing_hook", CreatedOutgoingWebhook)
    chat: ChatId
    name: str
    endpoint: str
    nonce: str = ""


class WebhookState(StrEnum):
    ACTIVE = "active"
    FAILING = "failing"
    """The last attempts have failed; more attempts follow."""
    STOPPED = "stopped"
    """Attempts have failed for too long, and no more follow until a replay."""


class OutgoingWebhookView(msgspec.Struct, frozen=True):
    """`origin`: scheme, host and port of the endpoint, whose path may be a secret. `next`: the index of the next
    message to post. `error`: the reason why the last attempt failed; empty if it succeeded. `paused`: the webhook posts
    nothing, because its maker may not manage the group now."""

    hook: str
    name: str
    by: AccountId
    origin: str
    created: int
    next: int
    state: WebhookState
    error: str = ""
    paused: bool = False


class OutgoingWebhookList(msgspec.Struct, frozen=True):
    """The webhooks, oldest first."""

    hooks: list[OutgoingWebhookView]


class ListOutgoingWebhooks(Forwarded):
    """A request for the outgoing webhooks of a group; only the owner and the admins may send it (`forbidden`)."""

    route = Routed("session.list_outgoing_hooks", OutgoingWebhookList, reads=True)
    chat: ChatId


class DeleteOutgoingWebhook(Forwarded):
    """The owner or an admin deletes a webhook. A repetition changes nothing."""

    route = Routed("session.delete_outgoing_hook", Ack)
    chat: ChatId
    hook: str


class ReplayedOutgoingWebhook(msgspec.Struct, frozen=True):
    """`next`: the index of the next message to post."""

    next: int


class ReplayOutgoingWebhook(Forwarded):
    """The owner or an admin makes a webhook post the messages from `index` on, even those that it has posted before. A
    stopped webhook continues. If `index` is after the last message, the webhook continues with the next new message.
    Error: `not_found`."""

    route = Routed("session.replay_outgoing_hook", ReplayedOutgoingWebhook)
    chat: ChatId
    hook: str
    index: int
