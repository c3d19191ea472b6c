"""The events that a client gives to the program. They come from the server or from the client itself."""

from typing import Any, Literal, NotRequired, TypedDict

from dragoman_client import native
from dragoman_client.client.connection import CommandRejected


class HeadEvent(native.ChatHead):
    """The summary of a chat, from a sync. It replaces the previous summary."""

    ev: Literal["head"]


GapEvent = TypedDict("GapEvent", {"ev": Literal["gap"], "chat": int, "from": int, "to": int})
"""Messages that the client does not give to the program. They can be requested by `history`, unless they have
expired."""


class ResetEvent(TypedDict):
    """The server was restored from a backup. The program must forget all messages that it has got."""

    ev: Literal["reset"]
    epoch: str


class StateEvent(TypedDict):
    """The state of the connection. `waiting` means that the client waits for its next attempt, because of `error`."""

    ev: Literal["state"]
    state: Literal["connecting", "online", "waiting"]
    error: NotRequired[CommandRejected]


class StoreEvent(TypedDict):
    """The store has failed. The client continues without it, and loses its state when it ends."""

    ev: Literal["store"]
    error: Exception


class OutboxResultEvent(TypedDict):
    """The result of a command in the outbox, which may be from an earlier run of the program. It has a `reply` or an
    `error`."""

    ev: Literal["outcome"]
    op: str
    nonce: str
    draft: dict[str, Any]
    reply: NotRequired[dict[str, Any]]
    error: NotRequired[CommandRejected]


Event = native.Event | HeadEvent | GapEvent | ResetEvent | StateEvent | StoreEvent | OutboxResultEvent


class KeptMessage(native.ShownMessage):
    """A message in the form in which a program keeps it. `rev`: the `rev` of the page that the message came from, or of
    the last change that was applied."""

    rev: NotRequired[int]


def apply_change(message: KeptMessage, change: native.ChangedEvent | native.ShownChange, account: int) -> KeptMessage:
    """Apply a change to a message, and return the result. A change is applied only if the message was fetched at a
    lower `rev`. Otherwise the message has the change already. `account`: the account whose reactions are `mine`."""
    if (change["chat"], change["index"]) != (message["chat"], message["index"]) or change["rev"] <= message.get(
        "rev", 0
    ):
        return message
    after: KeptMessage = {**message, "rev": change["rev"]}
    if change["kind"] == "edit":
        after["segments"], after["edited"] = change.get("segments", []), True
    elif change["kind"] == "recall":
        after["segments"], after["recalled"] = [], True
        for name in ("reply_to", "edited", "reactions", "mine"):
            after.pop(name, None)  # type: ignore[misc]
    elif change["kind"] == "reaction":
        after["reactions"], after["mine"] = change.get("reactions", {}), _mine(message, change, account)
    return after


def _mine(message: KeptMessage, change: native.ChangedEvent | native.ShownChange, account: int) -> list[str]:
    mine = message.get("mine", [])
    if "mine" in change or change["by"] != account:
        return change.get("mine", mine)
    emoji = change.get("emoji", "")
    return [one for one in mine if one != emoji] + ([emoji] if change.get("on") else [])


def text_of(message: native.MessageEvent | native.ShownMessage | native.ChangedEvent) -> str:
    """The texts of a message, including its mentions."""
    return "".join(one["text"] for one in message.get("segments", []) if one["t"] == "text" or one["t"] == "mention")
