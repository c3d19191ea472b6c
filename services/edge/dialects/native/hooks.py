"""native: the operations of incoming and outgoing webhooks."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.operation import MANAGES, READ, USERS, WRITE, Operation
from services.edge.dialects.native.shapes import ChatParameters, KeyText, Label, Nonce, Nothing, Number, SparseResult
from shared.contract.hooks import (
    CreateHook,
    CreateOutgoingHook,
    DeleteHook,
    DeleteOutgoingHook,
    ListHooks,
    ListOutgoingHooks,
    ReplayOutgoingHook,
)


class CreateHookParameters(ChatParameters, kw_only=True):
    """`name`: of the sender of the hook's messages. `nonce` as in `create`."""

    name: Label
    nonce: Nonce | None = None


class DeleteHookParameters(ChatParameters, kw_only=True):
    hook: KeyText


class CreateHookResult(SparseResult):
    """`secret`: who has it posts by `POST /hooks/SECRET`; it is shown this once. `hook`: names the hook, no secret.
    `account`: the sender of its messages."""

    hook: str
    secret: str
    account: int | UnsetType = UNSET


class HookInfo(SparseResult):
    """`by`: who made it, and whose rights admit its messages. `account`: their sender. `created`: Unix milliseconds.
    `paused`: it posts nothing, because who made it may not manage the group now, or an operator has disabled
    `account`."""

    hook: str
    name: str
    by: int
    created: int
    paused: bool | UnsetType = UNSET
    account: int | UnsetType = UNSET


class HooksResult(msgspec.Struct):
    """Oldest first."""

    hooks: list[HookInfo]


class CreateOutgoingHookParameters(CreateHookParameters, kw_only=True):
    """`endpoint`: the URL of the program that listens; `name`: for the admins.
    `nonce` as in `create`."""

    endpoint: Annotated[str, msgspec.Meta(min_length=1, examples=["https://example.org/messages"])]


class ReplayOutgoingHookParameters(DeleteHookParameters, kw_only=True):
    """`index`: of the first message that is posted (again)."""

    index: Number


class CreateOutgoingHookResult(msgspec.Struct):
    """`secret` signs the requests; it is shown this once. `hook`: names the hook, no secret. `next`: the index of the
    first message that is posted."""

    hook: str
    secret: str
    next: int


class OutgoingHookInfo(SparseResult):
    """`by`: who made it, and must manage the group. `origin`: of the endpoint, whose path is not shown. `created`: Unix
    milliseconds. `next`: the index of the next message that is posted. `state`: active, failing (there will be further
    attempts) or stopped (not before a replay). `last_error`: of the last attempt, if it failed.
    `paused`: nothing is posted, because who made it may not manage the group now."""

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
    """Oldest first."""

    hooks: list[OutgoingHookInfo]


class ReplayOutgoingHookResult(msgspec.Struct):
    """`next`: the index of the next message that is posted."""

    next: int


HOOK_OPERATIONS = (
    Operation(
        "create_hook", "an address to which programs post messages of a group",
        WRITE, USERS, CreateHookParameters, CreateHookResult,
        lambda wire, _: CreateHook(wire.chat, wire.name, nonce=wire.nonce or ""),
    ),
    Operation(
        "hooks", "list the hooks of a group",
        READ, MANAGES, ChatParameters, HooksResult, lambda wire, _: ListHooks(wire.chat),
    ),
    Operation(
        "delete_hook", "delete a hook",
        WRITE, MANAGES, DeleteHookParameters, Nothing, lambda wire, _: DeleteHook(wire.chat, wire.hook),
    ),
    Operation(
        "create_outgoing_hook", "an address outside to which the messages of a group are posted",
        WRITE, USERS, CreateOutgoingHookParameters, CreateOutgoingHookResult,
        lambda wire, _: CreateOutgoingHook(wire.chat, wire.name, wire.endpoint, nonce=wire.nonce or ""),
    ),
    Operation(
        "outgoing_hooks", "list the outgoing hooks of a group",
        READ, MANAGES, ChatParameters, OutgoingHooksResult, lambda wire, _: ListOutgoingHooks(wire.chat),
    ),
    Operation(
        "delete_outgoing_hook", "delete an outgoing hook",
        WRITE, MANAGES, DeleteHookParameters, Nothing, lambda wire, _: DeleteOutgoingHook(wire.chat, wire.hook),
    ),
    Operation(
        "replay_outgoing_hook", "post the messages from an index on, also again; a stopped hook goes on",
        WRITE, MANAGES, ReplayOutgoingHookParameters, ReplayOutgoingHookResult,
        lambda wire, _: ReplayOutgoingHook(wire.chat, wire.hook, wire.index),
    ),
)  # fmt: skip
