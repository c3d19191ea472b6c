"""Finds the request that an event of a connection answers. This module is pure."""

from collections import deque
from typing import Generic, TypeVar

from dragoman_client.codec.base import ClientRequest, Codec
from dragoman_client.codec.events import ReplyKind, ServerReply
from dragoman_client.errors import NoReply, RequestRejected

T = TypeVar("T")


class UnansweredRequests(Generic[T]):
    """The requests without a reply, oldest first. Each has an object that waits for the reply, such as a future."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.requests: deque[tuple[ClientRequest, T]] = deque()

    def add(self, request: ClientRequest, waiting: T) -> None:
        self.requests.append((request, waiting))

    def match(self, event: object) -> tuple[ServerReply, T] | None:
        """Find the first request that this event answers. Returns the reply, and the object that waits for it. The
        result is None if the event answers no request."""
        for entry in self.requests:
            if (reply := self._codec.match(entry[0], event)) is not None:
                self.requests.remove(entry)
                return reply, entry[1]
        return None

    def clear(self) -> list[T]:
        """Remove all requests, because the connection has ended and they will get no reply. Returns the objects that
        wait."""
        waiting = [entry[1] for entry in self.requests]
        self.requests.clear()
        return waiting


def check(request: ClientRequest, reply: ServerReply) -> ServerReply:
    """Return the reply if it is no error. Raises RequestRejected."""
    if not reply.error:
        return reply
    text = f"{_name(request)} rejected: {reply.error}"
    raise RequestRejected(text, reply.status, needs_verification=reply.needs_verification)


def no_reply(request: ClientRequest, seconds: float) -> NoReply:
    return NoReply(f"no answer to a {_name(request)} within {seconds:g} s")


def _name(request: ClientRequest) -> str:
    return (request.reply or ReplyKind.ANY).value
