"""Requests to session: incoming webhooks, by which programs without an account post to a group, and outgoing ones,
which post the messages of a group to an address outside."""

from enum import StrEnum

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
    NO_ACCOUNT until a hook posts that was made before hooks had accounts."""

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


class CreatedOutgoingHook(msgspec.Struct, frozen=True):
    """`secret` signs what the hook posts; it is shown once. `hook` names the hook, and is no secret. `next`: the index
    of the first message that it posts."""

    hook: str
    secret: str
    next: int

    def __repr__(self) -> str:
        return f"CreatedOutgoingHook({self.hook}, ***)"


class CreateOutgoingHook(Forwarded):
    """The owner or an admin of a group makes a hook: later messages of the group are posted to `endpoint`, a URL, while
    the maker manages it. `nonce` as in CreateLink. Errors: `limit` for too many hooks of a group, `invalid` for an
    address that is not permitted."""

    route = Routed("session.create_outgoing_hook", CreatedOutgoingHook)

    chat: ChatId
    name: str
    endpoint: str
    actor: AccountId = NO_ACCOUNT
    nonce: str = ""

    def __repr__(self) -> str:
        return f"CreateOutgoingHook({self.chat}, ***)"


class HookState(StrEnum):
    ACTIVE = "active"
    FAILING = "failing"
    """The last attempts failed; there will be more."""
    STOPPED = "stopped"
    """Attempts failed for too long: there are no more until a replay."""


class OutgoingHookView(msgspec.Struct, frozen=True):
    """`origin`: of the endpoint, whose path may be a secret. `next`: the index of the next message that the hook posts.
    `error`: why the last attempt failed, empty if it did not. `paused`: it posts nothing, because its maker may not
    manage the group now."""

    hook: str
    name: str
    by: AccountId
    origin: str
    created: int
    next: int
    state: HookState
    error: str = ""
    paused: bool = False


class OutgoingHookList(msgspec.Struct, frozen=True):
    """Oldest first."""

    hooks: list[OutgoingHookView]


class ListOutgoingHooks(Forwarded):
    """Requests the outgoing hooks of a group; only the owner and the admins may (`forbidden`)."""

    route = Routed("session.list_outgoing_hooks", OutgoingHookList, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class DeleteOutgoingHook(Forwarded):
    """The owner or an admin deletes a hook (idempotent)."""

    route = Routed("session.delete_outgoing_hook", Ack)

    chat: ChatId
    hook: str
    actor: AccountId = NO_ACCOUNT


class ReplayedOutgoingHook(msgspec.Struct, frozen=True):
    """`next`: the index of the next message that the hook posts."""

    next: int


class ReplayOutgoingHook(Forwarded):
    """The owner or an admin lets a hook post the messages from `index` on, also again. A stopped hook goes on. An index
    after the last message stands for the next one. Error: `not_found`."""

    route = Routed("session.replay_outgoing_hook", ReplayedOutgoingHook)

    chat: ChatId
    hook: str
    index: int
    actor: AccountId = NO_ACCOUNT
