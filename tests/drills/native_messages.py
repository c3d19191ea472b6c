"""The messages that a native client has.

It keeps the last state of each, from events, histories and pages of changes.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

Place = tuple[int, int]
"""A chat and an index."""


class MessageState(NamedTuple):
    """The state of a message. `text` is None if the message is recalled. `mine` are the account's own reactions."""

    text: str | None
    mine: frozenset[str] = frozenset()


class NativeMessages:
    """The messages of an account's chats, as frames show them. The frames may arrive in any order."""

    def __init__(self, account: int) -> None:
        self.states: dict[Place, MessageState] = {}
        self.last: defaultdict[int, int] = defaultdict(int)
        """For each chat, the index up to which the account has all messages."""
        self.rev: defaultdict[int, int] = defaultdict(int)
        """For each chat, the `rev` up to which the account has all changes."""
        self._account = account
        self._early: dict[Place, Mapping[str, Any]] = {}
        self._kept: defaultdict[Place, list[Mapping[str, Any]]] = defaultdict(list)
        """Changes of messages that the account does not have yet."""
        self._shown: dict[tuple[Place, bool], int] = {}
        """The `rev` of the last change that was applied: to each message's text (False), and to its reactions (True).
        """

    @property
    def positions(self) -> dict[str, tuple[int, int]]:
        """The positions in the form that `sync` requires."""
        return {str(chat): (last, self.rev[chat]) for chat, last in self.last.items()}

    def add(self, message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Adds a message.

        A message that the account has already is ignored. Returns the messages that now follow without a gap.
        """
        chat, _ = place = message["chat"], message["index"]
        if place not in self.states:
            self.states[place] = state_of(message)
            self._early[place] = message
            for change in self._kept.pop(place, ()):
                self._apply(place, change)
        ready = []
        while (following := self._early.pop((chat, self.last[chat] + 1), None)) is not None:
            self.last[chat] += 1
            ready.append(following)
        return ready

    def change(self, change: Mapping[str, Any]) -> None:
        chat, _ = place = change["chat"], change["index"]
        if change["rev"] == self.rev[chat] + 1:
            self.rev[chat] += 1
        if place in self.states:
            self._apply(place, change)
        else:
            self._kept[place].append(change)

    def has_changes_up_to(self, chat: int, rev: int) -> None:
        """Notes that all changes of the chat up to `rev` have arrived.

        If a message was changed several times in one way, the server sends only the last of these changes.
        """
        self.rev[chat] = max(self.rev[chat], rev)

    def _apply(self, place: Place, change: Mapping[str, Any]) -> None:
        slot = place, change["kind"] == "reaction"
        if change["rev"] > self._shown.get(slot, 0):
            self._shown[slot] = change["rev"]
            self.states[place] = self._changed(self.states[place], change)

    def _changed(self, state: MessageState, change: Mapping[str, Any]) -> MessageState:
        match change["kind"]:
            case "edit":
                return state._replace(text=text_of(change))
            case "recall":
                return MessageState(None)
            case "reaction" if "mine" in change:
                return state._replace(mine=frozenset(change["mine"]))
            case "reaction" if change["by"] == self._account:
                own = frozenset({change["emoji"]})
                return state._replace(mine=state.mine | own if change["on"] else state.mine - own)
        return state


def state_of(message: Mapping[str, Any]) -> MessageState:
    if message.get("recalled"):
        return MessageState(None)
    return MessageState(text_of(message), frozenset(message.get("mine", ())))


def text_of(shown: Mapping[str, Any]) -> str:
    """Returns the text of a message or of an edit."""
    return "".join(segment["text"] for segment in shown["segments"])
