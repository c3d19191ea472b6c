"""The dialect native: the operations of incoming and outgoing webhooks."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.operation import MANAGES, READ, USERS, WRITE, Operation
from services.edge.dialects.native.shapes import ChatParameters, KeyText, Label, Nonce, Nothing, Number, SparseResult
from shared.contract.webhooks import (
    CreateIncomingWebhook,
    CreateOutgoingWebhook,
    DeleteIncomingWebhook,
    DeleteOutgoingWebhook,
    ListIncomingWebhooks,
    ListOutgoingWebhooks,
    ReplayOutgoingWebhook,
)


class CreateHookParameters(ChatParameters, kw_only=True):
    """`name`: the name that the webhook's messages show as their sender. `nonce`: see `create`."""

    name: Label
    nonce: Nonce | None = None


class DeleteHookParameters(ChatParameters, kw_only=True):
    hook: KeyText


class CreateHookResult(SparseResult):
    """`secret`: any program that has the secret can post by `POST /hooks/SECRET`. No later reply shows the secret.
    `hook`: the webhook's name, which is no secret. `account`: the sender of its messages."""

    hook: str
    secret: str
    account: int | UnsetType = UNSET


class HookInfo(SparseResult):
    """`by`: the account that made the webhook. The webhook posts with the permissions of this account. `account`: the
    sender of its messages. `created`: Unix milliseconds. `paused`: whether the webhook cannot post at present, because
    `by` may not manage the group, or an operator has disabled `account`."""

    hook: str
    name: str
    by: int
    created: int
    paused: bool | UnsetType = UNSET
    account: int | UnsetType = UNSET


class HooksResult(msgspec.Struct):
    """The incoming webhooks of the group, oldest first."""

    hooks: list[HookInfo]


class CreateOutgoingHookParameters(CreateHookParameters, kw_only=True):
    """`endpoint`: the URL of the program that receives messages. `name`: a name that is shown to admins. `nonce`: see
    `create`."""

    endpoint: Annotated[str, msgspec.Meta(min_length=1, examples=["https://example.org/messages"])]


class ReplayOutgoingHookParameters(DeleteHookParameters, kw_only=True):
    """`index`: the first message to post again."""

    index: Number


class CreateOutgoingHookResult(msgspec.Struct):
    """`secret`: the key that signs the requests to the endpoint. No later reply shows it. `hook`: the webhook's name,
    which is no secret. `next`: the index of the first message to post."""

    hook: str
    secret: str
    next: int


class OutgoingHookInfo(SparseResult):
    """`by`: the account that made the webhook. `origin`: the scheme, host and port of the endpoint, whose path is not
    shown. `created`: Unix milliseconds. `next`: the index of the next message to post. `state`: active, failing (with
    further attempts) or stopped (until a replay). `last_error`: the reason why the last attempt failed, if it did.
    `paused`: whether the webhook does not post at present, because `by` may not manage the group."""

    hook: str
    name: str
    by: int
    origin: str
    created: int
    next: int
    state: str
    error: str | UnsetType = msgspec.field(name="last_error", default=UNSET)
    paused: bool | UnsetType = UNSET


class OutgoingHooksResult(msgspec.Struct):
    """The outgoing webhooks of the group, oldest first."""

    hooks: list[OutgoingHookInfo]


class ReplayOutgoingHookResult(msgspec.Struct):
    """`next`: the index of the next message to post."""

    next: int


WEBHOOK_OPERATIONS = (
    Operation(
        "create_hook", "create an address by which programs post to a group",
        WRITE, USERS, CreateHookParameters, CreateHookResult,
        lambda wire, _: CreateIncomingWebhook(wire.chat, wire.name, nonce=wire.nonce or ""),
    ),
    Operation(
        "hooks", "list the incoming webhooks of a group",
        READ, MANAGES, ChatParameters, HooksResult, lambda wire, _: ListIncomingWebhooks(wire.chat),
    ),
    Operation(
        "delete_hook", "delete an incoming webhook",
        WRITE, MANAGES, DeleteHookParameters, Nothing, lambda wire, _: DeleteIncomingWebhook(wire.chat, wire.hook),
    ),
    Operation(
        "create_outgoing_hook", "post a group's messages to a URL",
        WRITE, USERS, CreateOutgoingHookParameters, CreateOutgoingHookResult,
        lambda wire, _: CreateOutgoingWebhook(wire.chat, wire.name, wire.endpoint, nonce=wire.nonce or ""),
    ),
    Operation(
        "outgoing_hooks", "list the outgoing webhooks of a group",
        READ, MANAGES, ChatParameters, OutgoingHooksResult, lambda wire, _: ListOutgoingWebhooks(wire.chat),
    ),
    Operation(
        "delete_outgoing_hook", "delete an outgoing webhook",
        WRITE, MANAGES, DeleteHookParameters, Nothing, lambda wire, _: DeleteOutgoingWebhook(wire.chat, wire.hook),
    ),
    Operation(
        "replay_outgoing_hook", "post the messages from an index on, also again; a stopped webhook goes on",
        WRITE, MANAGES, ReplayOutgoingHookParameters, ReplayOutgoingHookResult,
        lambda wire, _: ReplayOutgoingWebhook(wire.chat, wire.hook, wire.index),
    ),
)  # fmt: skip
