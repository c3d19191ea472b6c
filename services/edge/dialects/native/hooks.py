"""native, both directions: `create_hook`, `hooks`, `delete_hook`."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.dialects.native.parameters import ChatParameters, KeyText, Label, Nonce
from services.edge.dialects.native.requests import Caller
from shared.contract.hooks import CreatedHook, CreateHook, DeleteHook, HookList, ListHooks
from shared.contract.ids import ChatId


class CreateHookParameters(ChatParameters, kw_only=True):
    """`name`: of the sender of the hook's messages. `nonce` as in `create`."""

    name: Label
    nonce: Nonce | None = None


class DeleteHookParameters(ChatParameters, kw_only=True):
    hook: KeyText


class CreateHookResult(msgspec.Struct):
    """`secret`: who has it posts by `POST /hooks/SECRET`; it is shown this once. `hook`: names the hook, no secret.
    `account`: the sender of its messages."""

    hook: str
    secret: str
    account: int | UnsetType = UNSET


class HookInfo(msgspec.Struct):
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


def create_hook(wire: CreateHookParameters, caller: Caller) -> CreateHook:
    return CreateHook(ChatId(wire.chat), wire.name, nonce=wire.nonce or "")


def list_hooks(wire: ChatParameters, caller: Caller) -> ListHooks:
    return ListHooks(ChatId(wire.chat))


def delete_hook(wire: DeleteHookParameters, caller: Caller) -> DeleteHook:
    return DeleteHook(ChatId(wire.chat), wire.hook)


def result(reply: CreatedHook | HookList) -> msgspec.Struct:
    if isinstance(reply, CreatedHook):
        return CreateHookResult(reply.hook, reply.secret, reply.account or UNSET)
    return HooksResult([
        HookInfo(one.hook, one.name, one.by, one.created, one.paused or UNSET, one.account or UNSET)
        for one in reply.hooks
    ])  # fmt: skip
