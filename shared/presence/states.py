"""The states that accounts set for themselves. They are in Redis, as presence is.

`presence:state:{k}`  hash: account id → `<state> <since> <node>`; k = id mod 16
                      `t<account id>` → `<since> <node> <text>`, if the state has a text

A state is valid while the account is on this node. A text is valid if the state has the same time and node. A state on
a dead node is not valid, and the account's next state replaces it.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from shared.contract.ids import AccountId, NodeId
from shared.presence.scripts import SHARDS, Command

_SET = """
local text = 't' .. ARGV[1]
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] then redis.call('HSET', KEYS[1], text, ARGV[3]) else redis.call('HDEL', KEYS[1], text) end
return 0
"""
"""Sets a state. KEYS[1] is a shard of states. ARGV: an account, its state, and the text of the state if there is
one."""

_WITHDRAW = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1], 't' .. ARGV[1]) end
return 0
"""
"""Removes a state unless a later state has replaced it. KEYS[1] is a shard of states. ARGV: an account, its state."""

_RESTORE = f"""
if redis.call('HGET', KEYS[1], ARGV[1]) then return 0 end
{_SET}"""
"""Sets a state unless the account has one. For KEYS[1] and ARGV, see _SET."""


class GivenState(NamedTuple):
    """`since`: Unix milliseconds; 0 if the account has set no state."""

    state: str
    since: int
    text: str = ""


ACTIVE = GivenState("active", 0)
"""The state of an account that is online and has set no state."""
OFFLINE = GivenState("offline", 0)


def key(shard: int) -> str:
    return f"presence:state:{{{shard}}}"


def set_state(node: NodeId, account: AccountId, given: GivenState) -> Command:
    return ("EVAL", _SET, 1, key(account % SHARDS), *_fields(node, account, given))


def withdraw(node: NodeId, account: AccountId, given: GivenState) -> Command:
    return ("EVAL", _WITHDRAW, 1, key(account % SHARDS), account, _value(node, given))


def restore(node: NodeId, account: AccountId, given: GivenState) -> Command:
    return ("EVAL", _RESTORE, 1, key(account % SHARDS), *_fields(node, account, given))


def read(shard: int, accounts: Collection[AccountId]) -> Command:
    """The command that reads states. `stored` decodes its reply."""
    return ("HMGET", key(shard), *accounts, *[f"t{account}" for account in accounts])


class StoredState(NamedTuple):
    """The values of the account's two fields in Redis."""

    value: str | None = None
    text: str | None = None


def stored(accounts: Collection[AccountId], reply: Sequence[str | None]) -> dict[AccountId, StoredState]:
    values, texts = reply[: len(accounts)], reply[len(accounts) :]
    return dict(zip(accounts, map(StoredState, values, texts), strict=True))


def state_on(nodes: Collection[NodeId], given: StoredState) -> GivenState:
    """The state of an account that is online, on these nodes."""
    state, _, rest = (given.value or "").partition(" ")
    since, _, node = rest.partition(" ")
    if node not in nodes:
        return ACTIVE
    text = given.text or ""
    return GivenState(state, int(since), text.removeprefix(f"{rest} ") if text.startswith(f"{rest} ") else "")


def _value(node: NodeId, given: GivenState) -> str:
    return f"{given.state} {given.since} {node}"


def _fields(node: NodeId, account: AccountId, given: GivenState) -> tuple[int | str, ...]:
    value = _value(node, given)
    return (account, value, f"{given.since} {node} {given.text}") if given.text else (account, value)
