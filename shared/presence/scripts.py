"""The scripts by which presence is changed in Redis, and the marks that they update.

The mark of a node in a shard is `<token>:<count>:<sum>`. It has the number of the node's accounts in the shard, and the
sum of their digests. The scripts that add and remove accounts update it. So a node reads only one field to compare the
shard with its own accounts. Whenever the node adds an account, it writes a new token. A sweep does nothing if the token
of the node has changed.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache

from shared.contract.ids import AccountId, NodeId

Command = tuple[str | int, ...]
"""A command of Redis."""

SHARDS = 16
"""The number of shards. A lookup sends one command for each shard, so there are only as many as a big cluster needs."""
SHARD_KEYS = [f"presence:{{{shard}}}" for shard in range(SHARDS)]

_DIGITS = 10**15
_PRIME = 94_906_249
"""This prime is below the square root of 2**53, because numbers in Redis's scripts are exact only up to 2**53."""

# KEYS[1] is a shard of presence, and ARGV[1] is a node.
_ENTRIES = f"""
local field = '@' .. ARGV[1]
local before = redis.call('HGET', KEYS[1], field) or ''
local count, sum = string.match(before, ':(%d+):(%d+)$')
count, sum = tonumber(count or 0), tonumber(sum or 0)
local changed = false
local function change(account, sign)
  local rest = tonumber(string.sub(account, -15)) % {_PRIME}
  count, sum, changed = count + sign, sum + sign * (rest * rest % {_PRIME}), true
end
local function add(account)
  local nodes = redis.call('HGET', KEYS[1], account) or ''
  if not string.find(',' .. nodes .. ',', ',' .. ARGV[1] .. ',', 1, true) then
    redis.call('HSET', KEYS[1], account, nodes == '' and ARGV[1] or nodes .. ',' .. ARGV[1])
    change(account, 1)
  end
  return nodes
end
local function remove(account)
  local left, found = {{}}, false
  for node in string.gmatch(redis.call('HGET', KEYS[1], account) or '', '[^,]+') do
    if node == ARGV[1] then found = true else left[#left + 1] = node end
  end
  if not found then return end
  if #left == 0 then redis.call('HDEL', KEYS[1], account)
  else redis.call('HSET', KEYS[1], account, table.concat(left, ',')) end
  change(account, -1)
end
local function write_mark(token)
  if count > 0 then redis.call('HSET', KEYS[1], field, string.format('%s:%d:%.0f', token, count, sum))
  else redis.call('HDEL', KEYS[1], field) end
end
"""

JOIN = f"""{_ENTRIES}
local nodes = {{}}
for i = 3, #ARGV do nodes[i - 2] = add(ARGV[i]) end
write_mark(ARGV[2])
return nodes
"""
"""Adds accounts to a node. ARGV: node, token, then account ids. Returns for each account the nodes that it was on
before."""

LEAVE = f"""{_ENTRIES}
for i = 3, #ARGV do remove(ARGV[i]) end
if changed then write_mark(ARGV[2]) end
return #ARGV - 2
"""
"""Removes accounts from a node. ARGV: node, token, then account ids."""

SWEEP = f"""{_ENTRIES}
if string.match(before, '^[^:]*') ~= ARGV[2] then return 0 end
local held = count
for i = 3, #ARGV do remove(ARGV[i]) end
if #ARGV == 2 then redis.call('HDEL', KEYS[1], field)
elseif changed and before ~= '' then
  redis.call('HSET', KEYS[1], field, string.format('%s:%d:%.0f', ARGV[2], count, sum))
end
return held - count
"""
"""Removes accounts of a dead node. ARGV: node, the token in its mark, then account ids. If there are no ids, the mark
is deleted. The token stays the same, because the sweep of the next accounts needs it. The script does nothing if the
token has changed. Returns the number of removed accounts."""

ELECT = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
"""Takes or renews a lease. KEYS[1] is the lease. ARGV: a node, milliseconds. Returns whether the node holds the
lease."""

REPAIR = f"""{_ENTRIES}
if before ~= ARGV[2] then return 0 end
local added = tonumber(ARGV[6])
for i = 7, #ARGV do
  if i < 7 + added then add(ARGV[i]) else remove(ARGV[i]) end
end
count, sum = tonumber(ARGV[4]), tonumber(ARGV[5])
write_mark(ARGV[3])
return 1
"""
"""Corrects the accounts of a node. ARGV: node, the node's previous mark, token, count and sum afterwards, the number of
accounts to add, these accounts, and the accounts to remove. The script does nothing if the mark has changed. Returns
whether it has changed the accounts."""

REFRESH = """
local generation = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
return generation
"""
"""Renews the generation. KEYS[1] is the generation. ARGV: a new generation, milliseconds. Returns the generation, which
is the new one if there was none."""

PUBLISH = """
for i = 1, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return redis.status_reply('OK')
"""
"""KEYS[1] is a shard of versions, and ARGV has chat, version, chat, version … The script never lowers a version,
because two changes may be published in the wrong order."""


@lru_cache(4096)
def nodes_of(names: str) -> tuple[NodeId, ...]:
    """The nodes in an entry. The results are cached, because many accounts have the same nodes."""
    return tuple([NodeId(name) for name in names.split(",")])


def digest(account: AccountId) -> int:
    rest = account % _DIGITS % _PRIME
    return rest * rest % _PRIME


def checksum(accounts: Iterable[AccountId]) -> tuple[int, int]:
    """The count and the sum in the mark of a node that has these accounts in a shard."""
    digests = [digest(account) for account in accounts]
    return len(digests), sum(digests)


def marked_checksum(mark: str | None) -> tuple[int, int]:
    """The count and the sum in a mark; (0, 0) if there is no mark, or if the mark has neither."""
    parts = (mark or "").split(":")
    return (int(parts[1]), int(parts[2])) if len(parts) == 3 else (0, 0)


def mark_token(mark: str | None) -> str:
    """The token in a node's mark; empty if there is no mark."""
    return (mark or "").partition(":")[0]


class RegisteredAccounts:
    """The accounts that presence should have for this node, with the checksum of each shard."""

    def __init__(self) -> None:
        self._accounts: set[AccountId] = set()
        self._checksums = [(0, 0)] * SHARDS

    def add(self, accounts: Collection[AccountId]) -> None:
        for account in accounts:
            if account not in self._accounts:
                self._accounts.add(account)
                self._change(account, 1)

    def remove(self, accounts: Collection[AccountId]) -> None:
        for account in accounts:
            if account in self._accounts:
                self._accounts.remove(account)
                self._change(account, -1)

    def clear(self) -> None:
        self._accounts.clear()
        self._checksums = [(0, 0)] * SHARDS

    def replace(self, shard: int, accounts: Collection[AccountId]) -> None:
        """Replaces all accounts of one shard by these."""
        self.remove([account for account in self._accounts if account % SHARDS == shard])
        self.add(accounts)

    def differing(self, marks: Iterable[str | None]) -> list[int]:
        """The shards whose marks differ from these accounts. `marks` are in the order of shards."""
        return [shard for shard, mark in enumerate(marks) if marked_checksum(mark) != self._checksums[shard]]

    def _change(self, account: AccountId, sign: int) -> None:
        count, total = self._checksums[account % SHARDS]
        self._checksums[account % SHARDS] = count + sign, total + sign * digest(account)
