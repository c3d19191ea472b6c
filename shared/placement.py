"""The databases of message, and the partitions of chats that each serves; pure.

The settings say where partitions are at first. Afterwards each database says which ones it serves, with a version that
rises with each change; of two that claim a partition, the one with the higher version is right.
"""

from collections.abc import Iterable, Mapping

from shared.contract.edge import Placement
from shared.contract.ids import ChatId
from shared.partitions import partition_of

PartitionRange = tuple[int, int]
"""Lowest and highest partition, both included."""


def parse_ranges(text: str) -> list[PartitionRange]:
    """The ranges in a text such as `0-127,130`. Raises ValueError."""
    ranges: list[PartitionRange] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        low, dash, high = part.partition("-")
        if not (low.isascii() and low.isdigit()) or (dash and not (high.isascii() and high.isdigit())):
            raise ValueError(f"should be ranges of partitions, as in 0-127 or 0-63,128-191, not {text!r}")
        first, last = int(low), int(high if dash else low)
        if first > last:
            raise ValueError(f"the range {part} ends before it begins")
        ranges.append((first, last))
    return ranges


def check_ranges(text: str) -> str:
    """The text, if it holds ranges. Raises ValueError."""
    parse_ranges(text)
    return text


def format_ranges(ranges: Iterable[PartitionRange]) -> str:
    return ",".join(f"{first}-{last}" if first < last else str(first) for first, last in ranges)


def to_partitions(ranges: Iterable[PartitionRange]) -> set[int]:
    return {partition for first, last in ranges for partition in range(first, last + 1)}


def to_ranges(partitions: Iterable[int]) -> list[PartitionRange]:
    """The fewest ascending ranges that hold exactly these partitions."""
    ranges: list[PartitionRange] = []
    for partition in sorted(set(partitions)):
        if ranges and ranges[-1][1] == partition - 1:
            ranges[-1] = (ranges[-1][0], partition)
        else:
            ranges.append((partition, partition))
    return ranges


def check_map(ranges: Mapping[str, Iterable[PartitionRange]], partitions: int) -> None:
    """Raises ValueError unless each of `partitions` partitions is in one range of one database."""
    owners: dict[int, str] = {}
    for name, own in ranges.items():
        for first, last in own:
            if last >= partitions:
                raise ValueError(
                    f"database {name} has partitions {format_ranges([(first, last)])}, but the last of {partitions} "
                    f"partitions (message.partitions) is {partitions - 1}"
                )
            for partition in range(first, last + 1):
                if (other := owners.setdefault(partition, name)) != name:
                    raise ValueError(f"partition {partition} is given to two databases, {other} and {name}")
    if missing := to_ranges(set(range(partitions)) - owners.keys()):
        raise ValueError(f"no database is given partitions {format_ranges(missing)}")


class DatabaseDirectory:
    """The database that serves each partition, as far as replicas have announced it. Remembers databases whose replicas
    are gone: their chats are nowhere else."""

    def __init__(self) -> None:
        self._claims: dict[str, Placement] = {}
        self._databases: list[str] = []
        """By partition; empty until a placement is claimed."""

    def claim(self, placement: Placement) -> bool:
        """A replica has announced this placement; returns whether it is news."""
        known = self._claims.get(placement.database)
        if known is not None and known.version >= placement.version:
            return False
        self._claims[placement.database] = placement
        databases = [""] * placement.partitions
        for claim in sorted(self._claims.values(), key=lambda claim: (claim.version, claim.database)):
            for first, last in claim.ranges:
                databases[first : last + 1] = [claim.database] * (last + 1 - first)
        self._databases = databases[: placement.partitions]
        return True

    def __bool__(self) -> bool:
        """Whether there are several databases."""
        return bool(self._databases)

    def database_of(self, chat: ChatId) -> str:
        """The database that serves the chat; empty if none does, as far as is known."""
        return self._databases[partition_of(chat, len(self._databases))] if self._databases else ""
