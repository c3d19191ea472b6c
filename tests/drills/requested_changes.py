"""The changes of messages that a native user has requested, and the states of messages that are possible after the
replies.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.drills.native_messages import MessageState, Place


class RequestedChange(NamedTuple):
    """A change.

    `kind` is an operation: `edit` to the text `value`, `recall`, or `react` and `unreact` with the emoji `value`.
    """

    kind: str
    value: str = ""

    def applied_to(self, state: MessageState) -> MessageState:
        match self.kind:
            case "edit":
                return state._replace(text=self.value)
            case "recall":
                return MessageState(None)
            case "react":
                return state._replace(mine=state.mine | {self.value})
            case "unreact":
                return state._replace(mine=state.mine - {self.value})
        raise ValueError(f"there is no change {self.kind}")


class LastStates:
    """The last acknowledged state of each message, as its user has it.

    Changes without a reply are undecided: each may have been made or not.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[Place, MessageState] = {}
        self._undecided: defaultdict[Place, list[RequestedChange]] = defaultdict(list)

    def written(self, place: Place, text: str) -> None:
        """Notes that the message was committed."""
        self.acknowledged[place] = MessageState(text)

    def requested(self, place: Place, change: RequestedChange) -> None:
        self._undecided[place].append(change)

    def made(self, place: Place, change: RequestedChange) -> None:
        """Notes that the change was acknowledged."""
        self._undecided[place].remove(change)
        self.acknowledged[place] = change.applied_to(self.acknowledged[place])

    def rejected(self, place: Place, change: RequestedChange) -> None:
        self._undecided[place].remove(change)

    def differences(self, shown: Mapping[Place, MessageState]) -> Iterator[str]:
        """Yields the differences from the messages that a native client has at the end."""
        for place, state in self.acknowledged.items():
            allowed = [state]
            for change in self._undecided.get(place, ()):
                allowed += [change.applied_to(one) for one in allowed]
            if place not in shown:
                yield f"{place} is missing"
            elif shown[place] not in allowed:
                yield f"{place} is {_described(shown[place])}, and should be {' or '.join(map(_described, allowed))}"


def _described(state: MessageState) -> str:
    text = "recalled" if state.text is None else repr(state.text)
    return f"{text} with {''.join(sorted(state.mine))}" if state.mine else text
