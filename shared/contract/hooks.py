"""Requests to session: hooks, by which programs without an account post to a group."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Ack, Forwarded, Routed


class CreatedHook(msgspec.Struct, frozen=True):
    """`secret`: 192 random bits, shown once. `hook` names the hook, and is no secret."""

    hook: str
    secret: str
    account: AccountId = NO_ACCOUNT
    """Of the hook, which is the sender of its messages."""

    def __repr__(self) -> str:
        return f"CreatedHook({self.hook}, ***)"


class CreateHook(Forwarded):
    """The owner or an admin of a group makes a hook: who has its secret posts as the hook, while its maker manages the
    group. `name`: that of the hook's account. `nonce` as in CreateLink. Error: `limit` for too many hooks of a
    group."""

    route = Routed("session.create_hook", CreatedHook)

    chat: ChatId
    name: str
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""


class HookView(msgspec.Struct, frozen=True):
    """`paused`: it posts nothing, because its maker may not manage the group now, or `account` is disabled. `account`:
    NO_ACCOUNT until a hook of the previous version posts."""

    hook: str
    name: str
    by: AccountId
    created: int
    paused: bool = False
    account: AccountId = NO_ACCOUNT


class HookList(msgspec.Struct, frozen=True):
    """Oldest first."""

    hooks: list[HookView]


class ListHooks(Forwarded):
    """Requests the hooks of a group; only the owner and the admins may (`forbidden`)."""

    route = Routed("session.list_hooks", HookList, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class DeleteHook(Forwarded):
    """The owner or an admin deletes a hook (idempotent)."""

    route = Routed("session.delete_hook", Ack)

    chat: ChatId
    hook: str
    actor: AccountId = NO_ACCOUNT


class FoundHook(msgspec.Struct, frozen=True):
    """`account`: the sender of its messages, which the rights of `by` admit."""

    hook: str
    chat: ChatId
    name: str
    by: AccountId
    account: AccountId = NO_ACCOUNT


class FindHook(msgspec.Struct):
    """`digest`: the sha256 of a secret in hex. Errors: `not_found`, `forbidden` while the maker may not manage the
    group."""

    route = Routed("session.find_hook", FoundHook)

    digest: str

    def __repr__(self) -> str:
        return "FindHook(***)"
