"""A page whose server replies late."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import WebSocketRoute


class HeldReplies:
    """Holds the reply to a page's first command of a kind until `release`.

    `later` is the number of later commands of this kind that got a reply.
    """

    def __init__(self, chooses: Callable[[dict[str, Any]], bool]) -> None:
        self.later = 0
        self._chooses = chooses
        self._ids = list[int]()
        self._reply: str | None = None
        self._socket: WebSocketRoute | None = None

    def forward(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def request(text: str | bytes) -> None:
            command = json.loads(text)
            if self._chooses(command):
                self._ids.append(command["id"])
                self._socket = socket
            server.send(text)

        def reply(text: str | bytes) -> None:
            number = json.loads(text).get("re")
            if number in self._ids[:1] and socket is self._socket and self._reply is None:
                self._reply = str(text)
                return
            socket.send(text)
            self.later += number in self._ids[1:]

        socket.on_message(request)
        server.on_message(reply)

    @property
    def is_held(self) -> bool:
        return self._reply is not None

    def release(self) -> None:
        assert self._socket is not None
        assert self._reply is not None
        self._socket.send(self._reply)
