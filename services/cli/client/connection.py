"""The connection of the terminal client: a thread receives, requests wait for their replies."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

import msgspec

from clients.blocking import SECONDS, BlockingClient, Received, Trace, connect
from clients.codec.base import ClientRequest, Codec
from clients.codec.events import ServerReply
from clients.errors import ClientError, ConnectionEnded
from clients.pending import check, no_reply

Process = Callable[[ServerReply], None]

_END_SECONDS = 2.0


def _ignore(_: ServerReply) -> None: ...


class ChatConnection:
    """Opened by the first request, and again after it ended before a login: servers close connections that are silent
    for long. `receive` gets every frame, `ended` the end of a connection that was not closed here."""

    def __init__(
        self,
        server: str,
        codec: Codec,
        receive: Callable[[Received], None],
        ended: Callable[[ConnectionEnded], None],
        trace: Trace | None = None,
    ) -> None:
        self._server = server
        self._codec = codec
        self._receive = receive
        self._ended = ended
        self._trace = trace
        self._client: BlockingClient | None = None
        self._thread: threading.Thread | None = None
        self._closing = False

    def open(self) -> BlockingClient:
        """Raises Unreachable, InvalidAddress."""
        if self._client is None:
            self._client = client = BlockingClient(connect(self._server, self._codec, self._trace), self._codec)
            self._thread = threading.Thread(target=self._run, args=[client], name="receive", daemon=True)
            self._thread.start()
        return self._client

    def start(self, request: ClientRequest) -> None:
        """Send without waiting for the reply. Raises ClientError."""
        self.open().start(request)

    def request(self, request: ClientRequest, process: Process = _ignore) -> ServerReply:
        """The reply. `process` gets it on the receiving thread, before the next frame. Raises ClientError."""
        processed: Future[ServerReply] = Future()

        def complete(future: Future[ServerReply]) -> None:
            try:
                reply = check(request, future.result())
                process(reply)
            except ClientError as error:
                processed.set_exception(error)
            else:
                processed.set_result(reply)

        future: Future[ServerReply] = Future()
        future.add_done_callback(complete)
        self.open().start(request, future)
        try:
            return processed.result(SECONDS)
        except FutureTimeout:
            raise no_reply(request, SECONDS) from None

    def close(self) -> None:
        """In order: frames that the server has sent before are still received."""
        self._closing = True
        client = self._client
        if client is not None and self._thread is not None:
            client.connection.end()
            self._thread.join(_END_SECONDS)
            client.connection.close()

    def _run(self, client: BlockingClient) -> None:
        while True:
            try:
                self._receive(client.receive(None))
            except ConnectionEnded as ended:
                self._client = None
                client.connection.close()
                if not self._closing:
                    self._ended(ended)
                return
            except (ValueError, msgspec.MsgspecError):
                continue  # no server of the dialect sends it; --frames shows it
