"""Requests to session: hooks, by which programs without an account post to a group."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId


class CreateHook(msgspec.Struct):
    """The owner or an admin of a group makes a hook: who has its secret posts as the maker, while that manages the
    group. `name` begins its messages. Error: `limit` for too many hooks of a group."""

    chat: ChatId
    name: str
    actor: AccountId = NO_ACCOUNT


class CreatedHook(msgspec.Struct, frozen=True):
    """`secret`: 192 random bits, shown once. `hook` names the hook, and is no secret."""

    hook: str
    secret: str

    def __repr__(self) -> str:
        return f"CreatedHook({self.hook}, ***)"


class ListHooks(msgspec.Struct):
    """Requests the hooks of a group; only the owner and the admins may (`forbidden`)."""

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class HookView(msgspec.Struct, frozen=True):
    """`paused`: it posts nothing, because its maker may not manage the group now."""

    hook: str
    name: str
    by: AccountId
    created: int
    paused: bool = False


class HookList(msgspec.Struct, frozen=True):
    """Oldest first."""

    hooks: list[HookView]


class DeleteHook(msgspec.Struct):
    """The owner or an admin deletes a hook (idempotent)."""

    chat: ChatId
    hook: str
    actor: AccountId = NO_ACCOUNT


class FindHook(msgspec.Struct):
    """`digest`: the sha256 of a secret in hex. Errors: `not_found`, `forbidden` while the maker may not manage the
    group."""

    digest: str

    def __repr__(self) -> str:
        return "FindHook(***)"


class FoundHook(msgspec.Struct, frozen=True):
    hook: str
    chat: ChatId
    name: str
    by: AccountId
