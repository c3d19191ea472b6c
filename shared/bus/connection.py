"""The connection to NATS: FastStream's broker, with workarounds for defects of nats-py."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import nats.errors
from faststream.nats import NatsBroker, NatsSecurity, NatsUserPassword
from faststream.nats.broker.broker import UNRECOVERABLE_CONNECT_ERRORS
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from prometheus_client import Counter

from shared.bus.nats_client import NatsClient, Receive, UnfitServer, require_payload
from shared.bus.node_identity import NodeIdentity
from shared.contract.permissions import NODE_USER, node_inbox
from shared.settings.servers import NatsSettings
from shared.tasks import Tasks
from shared.telemetry import log
from shared.tls import nats_context

_log = log(__name__)

_FOREVER_SECONDS = 86_400
_REMINDER_SECONDS = 5.0
"""The time between two log lines while NATS has not answered at the start."""
_PING_SECONDS = 2
"""The pause between two pings. If a server does not answer three pings in a row, the connection to it is closed,
because users wait meanwhile."""
_REJECTED = ("authorization violation", "authentication timeout", "authorization timeout")


class _Broker(NatsBroker):
    """FastStream's broker with the client of this project. If the settings demand TLS, that client never logs in
    without it. `own_callbacks` replace the callbacks of FastStream."""

    own_callbacks: dict[str, Any]
    client: NatsClient | None = None

    async def _connect(self) -> Client:
        client = self.client = NatsClient()
        await client.connect(**self._connection_kwargs | self.own_callbacks)
        self.config.connect(client)
        return client


class BrokerConnection:
    """One process's connection to NATS until `stop`. `errors` counts NATS's error reports by kind. `on_messages_lost`
    is called with a reason when messages to this process may have been lost. `node`: the identity of an edge's
    process."""

    def __init__(
        self,
        settings: NatsSettings,
        service: str,
        errors: Counter,
        on_messages_lost: Callable[[str], None],
        node: NodeIdentity | None = None,
    ) -> None:
        self._on_messages_lost = on_messages_lost
        self._errors = errors
        for kind in (
            "slow_consumer",
            "permission",
            "other",
        ):  # the series exist from the start, so that the first error is visible as an increase
            errors.labels(kind)
        self._running = False
        self._wanted: list[tuple[str, Receive, str]] = []
        self._subscriptions: list[Subscription] = []
        self._tasks = Tasks()
        self._round_trip: asyncio.Task[None] | None = None
        urls = settings.url.split(",")
        self._addresses = [url.rpartition("/")[2].rpartition("@")[2] for url in urls]
        self._node = node
        self._waits_for_auth = settings.user == NODE_USER
        """Whether the auth service decides on this user. While auth is unavailable, NATS rejects such a user."""
        self._broker = _Broker(urls, **self._options(settings, service))
        self._broker.own_callbacks = {"error_cb": self._on_error} if self._waits_for_auth else {}
        self._failure = ""
        """The failure of the last attempt to connect."""

    @property
    def client(self) -> NatsClient:
        client: NatsClient = self._broker.connection  # type: ignore[assignment]  # _Broker makes it
        return client

    @property
    def running(self) -> bool:
        return self._running

    @property
    def unsent_bytes(self) -> int:
        return self.client.pending_data_size if self._running else 0

    def subscribe(self, subject: str, receive: Receive, queue: str) -> None:
        """Registers a subscription before `start`. The subscription bypasses FastStream, which would need tens of
        microseconds for each message. An exception of `receive` is reported as an error of the connection."""
        self._wanted.append((subject, receive, queue))

    async def start(self, before_serving: Callable[[], Awaitable[object]] | None = None) -> None:
        """Connects and subscribes. Waits for NATS without limit. After the connection and before the subscriptions,
        `before_serving` may send requests. Raises the exceptions of `before_serving`, and UnfitServer. Raises
        nats.errors.Error if NATS rejects this user, unless the auth service decides on the user."""
        _log.info("connecting to the bus")
        reminder = self._tasks.start(self._remind(), "reminder")
        try:
            await self._broker.start()
            require_payload(self.client)
            if before_serving is not None:
                await before_serving()
            await self._subscribe(self._wanted)
            self._running = True
            await self._settle()
        except BaseException:  # after a failed start, nothing calls `stop`
            self._running = False
            if self._broker.client is not None and self._broker.client.is_connected:
                await self._broker.client.close()
            raise
        finally:
            reminder.cancel()

    async def _subscribe(self, wanted: list[tuple[str, Receive, str]]) -> None:
        for subject, receive, queue in wanted:
            self._subscriptions.append(await self.client.receive(subject, queue, receive))

    def flush(self) -> None:
        """See NatsClient.write_pending. Otherwise, the client would write in the next event-loop iteration."""
        if self._running:
            self.client.write_pending()

    async def unsubscribe(self, timeout_seconds: float) -> None:
        """Stop accepting messages. Returns when all received messages have been handled."""
        await self._end(self._subscriptions, timeout_seconds)

    async def leave_queues(self, timeout_seconds: float) -> None:
        """Leave new requests to the other members of the queue groups. Returns when all received requests have been
        handled."""
        left = [one for one in self._subscriptions if one.queue]
        self._subscriptions = [one for one in self._subscriptions if not one.queue]
        await self._end(left, timeout_seconds)

    async def join_queues(self) -> None:
        """Joins all queue groups again, after `leave_queues`."""
        await self._subscribe([wanted for wanted in self._wanted if wanted[2]])
        await self._settle()

    async def pause(self, subject: str, timeout_seconds: float) -> None:
        """Stop the messages of this subject. Returns when all received messages have been handled."""
        ended = [one for one in self._subscriptions if one.subject == subject]
        self._subscriptions = [one for one in self._subscriptions if one.subject != subject]
        await self._end(ended, timeout_seconds)

    async def resume(self, subject: str) -> None:
        """Receive the messages again after `pause`. A repetition changes nothing. Raises nats.errors.Error."""
        if all(one.subject != subject for one in self._subscriptions):
            await self._subscribe([wanted for wanted in self._wanted if wanted[0] == subject])
        await self._settle()

    def request(
        self, subject: str, payload: bytes, seconds: float, headers: dict[str, str], *, ends_with_connection: bool
    ) -> Coroutine[Any, Any, bytes]:
        """See NatsClient.send_request."""
        return self.client.send_request(subject, payload, seconds, headers, ends_with_connection=ends_with_connection)

    async def stop(self, timeout_seconds: float) -> None:
        """Send the buffered messages, and disconnect."""
        self._running = False
        await self._tasks.finish(timeout_seconds)
        try:
            await asyncio.wait_for(self._broker.stop(), timeout_seconds)
        except (TimeoutError, nats.errors.Error) as error:
            _log.warning("bus not drained", error=repr(error))
            await self._close_connection()

    async def _close_connection(self) -> None:
        # nats-py would write to the closed socket, which raises a TypeError in Python 3.12
        if not self.client.is_connected:
            self.client._pending, self.client._pending_data_size = [], 0
        try:
            await self.client.close()
        except OSError as error:  # closing also sends the client's buffer, which may fail
            _log.warning("the connection to NATS did not close cleanly", error=repr(error))

    async def check(self, timeout_seconds: float) -> None:
        """Make a real round trip. Raises TimeoutError, or nats.errors.Error while there is no connection."""
        if not (self._running and self.client.is_connected):
            raise nats.errors.ConnectionClosedError
        # A round trip is never cancelled, because nats-py stops reading when the reply to a cancelled request arrives.
        if self._round_trip is None or self._round_trip.done():
            self._round_trip = self._tasks.start(self.client.flush(timeout=_FOREVER_SECONDS), "round trip")
        round_trip = self._round_trip
        await asyncio.wait({round_trip}, timeout=timeout_seconds)
        if not round_trip.done():
            raise TimeoutError("nats")
        if round_trip.cancelled() or round_trip.exception() is not None:
            raise nats.errors.ConnectionClosedError

    async def _end(self, subscriptions: list[Subscription], timeout_seconds: float) -> None:
        """End the subscriptions. NATS stops sending messages, and those that it has sent are handled."""
        if not subscriptions:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                for one in subscriptions:
                    await self.client._send_unsubscribe(one._id)
                await self._settle()
        except (TimeoutError, nats.errors.Error) as error:
            _log.warning("subscriptions not drained", error=repr(error))
        for one in subscriptions:
            # without this call, nats-py would restore the subscription after a reconnection
            with suppress(nats.errors.Error):
                await one.unsubscribe()

    async def _settle(self) -> None:
        """Wait until NATS has received all subscriptions. One round trip is not enough, because nats-py may send its
        ping before subscriptions that are not sent yet."""
        await self.client.flush()
        await self.client.flush()

    def _options(self, settings: NatsSettings, service: str) -> dict[str, Any]:
        password, name = settings.password.get_secret_value(), settings.tls_name or None
        tls, node = nats_context(settings), self._node
        if node is not None and self._waits_for_auth:
            password = node.password(password)
        as_user = NatsUserPassword(settings.user, password, ssl_context=tls, tls_hostname=name)
        return {
            "security": as_user if settings.user else NatsSecurity(ssl_context=tls, tls_hostname=name),
            "name": service if node is None else node.id,
            "connect_timeout": settings.connect_timeout_seconds,
            "reconnect_time_wait": 0.5,
            "max_reconnect_attempts": -1,
            "ping_interval": _PING_SECONDS,
            "max_outstanding_pings": 2,
            "inbox_prefix": f"inbox.{service}" if node is None else node_inbox(node.id),
            "error_cb": self._on_error,
            "reconnected_cb": self._on_reconnected,
            "disconnected_cb": self._on_disconnected,
            "closed_cb": self._on_closed,
            "logger": None,
            "apply_types": False,
        }

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        self._failure = str(error) or type(error).__name__
        if isinstance(error, nats.errors.SlowConsumerError):
            self._errors.labels("slow_consumer").inc()
            self._on_messages_lost("slow consumer")
        elif "permissions violation" in text:
            self._errors.labels("permission").inc()
            _log.error("NATS denies a permission", error=str(error))
        elif self._waits_for_auth and text.removeprefix("nats: ").strip("'") in _REJECTED:
            self._errors.labels("other").inc()
            self._failure = "auth has not granted this node its subjects (nats.user, nats.password, callout.key)"
        elif self._running and text.removeprefix("nats: ").strip("'") in UNRECOVERABLE_CONNECT_ERRORS:
            _give_up(text)  # FastStream raises this error in the reconnection, which then never continues
        else:
            self._errors.labels("other").inc()
            _log.debug("bus error", error=repr(error))

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(_REMINDER_SECONDS)
            _log.warning("NATS does not answer yet", servers=self._addresses, setting="nats.url", error=self._failure)

    async def _on_disconnected(self) -> None:
        self.client.end_requests()
        if self._round_trip is not None:
            self._round_trip.cancel()
        if self._running:
            _log.warning("bus disconnected")

    async def _on_reconnected(self) -> None:
        _log.info("bus reconnected")
        try:
            require_payload(self.client)
        except UnfitServer as error:
            _give_up(str(error))
        self._on_messages_lost("reconnected")

    async def _on_closed(self) -> None:
        if self._running:
            _give_up("the connection was closed for good")


def _give_up(reason: str) -> None:
    """End this process in an orderly way, because only a new process can connect again."""
    _log.critical("bus lost", reason=reason)
    signal.raise_signal(signal.SIGTERM)
