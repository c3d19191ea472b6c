"""The generation of presence: of a single server one random text, of a cluster one for each shard.

A shard and its part are on one node of the cluster: whatever node loses its data, the generation changes with it, and
commands for the shard and for its part are executed in their order.
"""

from collections.abc import Sequence

from shared.presence_scripts import REFRESH, SHARDS, Command


class GenerationKeys:
    """`reads`: the commands for its parts."""

    def __init__(self, *, is_cluster: bool) -> None:
        self._keys = [f"generation:{{{shard}}}" for shard in range(SHARDS)] if is_cluster else ["generation"]
        self.reads: list[Command] = [("GET", key) for key in self._keys]

    def refreshes(self, new: str, ms: int) -> list[Command]:
        """Keep each part for so many milliseconds; a missing one becomes the `new` text."""
        return [("EVAL", REFRESH, 1, key, new, ms) for key in self._keys]

    def joined(self, parts: Sequence[str | None]) -> str | None:
        """None if one is missing."""
        return None if None in parts else "/".join(parts)  # type: ignore[arg-type]
