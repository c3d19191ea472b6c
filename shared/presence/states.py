"""The states that accounts set for themselves, in Redis beside presence.

`presence:state:{k}`  hash: account id → `<state> <since> <node>`; k = id mod 16
                      `t<account id>` → `<since> <node> <text>`, if the state has a text

A state is valid while the account is on that node. A text is valid beside a state of the same time and node. States on
a dead node no longer count; the account's next state replaces them.
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
"""KEYS[1] a shard of states; ARGV: an account, the account's state, and the state's text if there is one."""

_WITHDRAW = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1], 't' .. ARGV[1]) end
return 0
"""
"""KEYS[1] a shard of states; ARGV: an account, its state. The script removes the state unless a later state has
replaced it."""

_RESTORE = f"""
if redis.call('HGET', KEYS[1], ARGV[1]) then return 0 end
{_SET}"""
"""KEYS[1], ARGV: as for _SET. The script sets the state unless the account has one."""


class GivenState(NamedTuple):
    """`since`: Unix milliseconds; 0 if the account has set no state."""

    state: str
    since: int
    text: str = ""


ACTIVE = GivenState("active", 0)
"""The state of an account that is online and has set none."""
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
    """The command for which `stored` decodes the reply."""
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
