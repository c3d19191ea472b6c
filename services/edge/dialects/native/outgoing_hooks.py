"""native, both directions: `create_outgoing_hook`, `outgoing_hooks`, `delete_outgoing_hook`, `replay_outgoing_hook`."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.hooks import CreateHookParameters, DeleteHookParameters
from services.edge.dialects.native.parameters import ChatParameters, Number
from services.edge.dialects.native.requests import Caller
from shared.contract.ids import ChatId
from shared.contract.outgoing_hooks import (
    CreatedOutgoingHook,
    CreateOutgoingHook,
    DeleteOutgoingHook,
    ListOutgoingHooks,
    OutgoingHookList,
    ReplayedOutgoingHook,
    ReplayOutgoingHook,
)


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


class OutgoingHookInfo(msgspec.Struct):
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
    last_error: str | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class OutgoingHooksResult(msgspec.Struct):
    """Oldest first."""

    hooks: list[OutgoingHookInfo]


class ReplayOutgoingHookResult(msgspec.Struct):
    """`next`: the index of the next message that is posted."""

    next: int


def create_outgoing_hook(wire: CreateOutgoingHookParameters, caller: Caller) -> CreateOutgoingHook:
    return CreateOutgoingHook(ChatId(wire.chat), wire.name, wire.endpoint, nonce=wire.nonce or "")


def list_outgoing_hooks(wire: ChatParameters, caller: Caller) -> ListOutgoingHooks:
    return ListOutgoingHooks(ChatId(wire.chat))


def delete_outgoing_hook(wire: DeleteHookParameters, caller: Caller) -> DeleteOutgoingHook:
    return DeleteOutgoingHook(ChatId(wire.chat), wire.hook)


def replay_outgoing_hook(wire: ReplayOutgoingHookParameters, caller: Caller) -> ReplayOutgoingHook:
    return ReplayOutgoingHook(ChatId(wire.chat), wire.hook, wire.index)


OutgoingHookReply = CreatedOutgoingHook | OutgoingHookList | ReplayedOutgoingHook


def result(reply: OutgoingHookReply) -> msgspec.Struct:
    match reply:
        case CreatedOutgoingHook(hook, secret, first):
            return CreateOutgoingHookResult(hook, secret, first)
        case OutgoingHookList(found):
            return OutgoingHooksResult([
                OutgoingHookInfo(
                    one.hook, one.name, one.by, one.origin, one.created, one.next, one.state.value, one.error or UNSET,
                    one.paused or UNSET,
                )
                for one in found
            ])  # fmt: skip
        case ReplayedOutgoingHook(following):
            return ReplayOutgoingHookResult(following)
