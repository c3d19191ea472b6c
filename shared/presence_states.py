"""The states that accounts give themselves, in Redis beside presence.

`presence:state:{k}`  hash: account id → `<state> <since> <node>`; k = id mod 16
A state counts while the account is on that node. What a dead node has left behind counts no more; the account's
next state replaces it.
"""

from collections.abc import Collection
from typing import NamedTuple

from shared.contract.ids import AccountId, NodeId
from shared.presence_scripts import SHARDS, Command

_WITHDRAW = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""
"""KEYS[1] a shard of states; ARGV: an account, its state. Removes the state unless a later one has replaced it."""

_RESTORE = """
if not redis.call('HGET', KEYS[1], ARGV[1]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 0
"""
"""KEYS[1] a shard of states; ARGV: an account, its state. Sets the state unless there is one."""


class GivenState(NamedTuple):
    """`since`: Unix milliseconds; 0: of an account that has given none."""

    state: str
    since: int


ACTIVE = GivenState("active", 0)
"""Of an account that is online and has given no state."""
OFFLINE = GivenState("offline", 0)


def key(shard: int) -> str:
    return f"presence:state:{{{shard}}}"


def set_state(node: NodeId, account: AccountId, given: GivenState) -> Command:
    return ("HSET", key(account % SHARDS), account, _value(node, given))


def withdraw(node: NodeId, account: AccountId, given: GivenState) -> Command:
    return ("EVAL", _WITHDRAW, 1, key(account % SHARDS), account, _value(node, given))


def restore(node: NodeId, account: AccountId, given: GivenState) -> Command:
    return ("EVAL", _RESTORE, 1, key(account % SHARDS), account, _value(node, given))


def state_on(nodes: Collection[NodeId], value: str | None) -> GivenState:
    """The state of an account that is online, on these nodes."""
    state, _, rest = (value or "").partition(" ")
    since, _, node = rest.partition(" ")
    return GivenState(state, int(since)) if node in nodes else ACTIVE


def _value(node: NodeId, given: GivenState) -> str:
    return f"{given.state} {given.since} {node}"
