"""`POST /api/v1/OPERATION`: the operations of the dialect native, for programs without a WebSocket. The body is a
command without `op` and `id`, and the response is its reply without `re`. `GET /api/v1/events` is a stream of the
events as they occur. On request, the stream begins with the events that the client has missed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import aclosing
from dataclasses import replace
from math import ceil

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.edge.canonical.transport import Endpoint, Handshake, Reject
from services.edge.gateway.handshake import parse_networks
from services.edge.gateway.open_sockets import ClientSocket, OpenSockets
from services.edge.http.event_stream import (
    EventConnection,
    EventPositions,
    SyncRejected,
    Wait,
    first_part,
    has_news,
    known_positions,
    wait_of,
)
from services.edge.http.operation_connection import OperationConnection, OperationReply, unknown_result
from services.edge.http.request import (
    CheckToken,
    RateLimiter,
    bearer_token,
    body_length,
    handshake_of,
    read_body,
    until_disconnect,
)
from services.edge.http.responses import STATUS, json_response, wrong_method
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Scheme
from shared.settings import Settings
from shared.telemetry import new_trace

_NATIVE_PATH = "/ws/native"
_UNSUPPORTED = "unsupported"
_STATUS = {**STATUS, _UNSUPPORTED: 404}
_BEGINNINGS = ("register", "login", "token", "refresh", "recover")
"""The operations that need no login, or may replace a connection's login. These operations never use a shared
connection."""
_EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_ALLOWANCE_SECONDS = 2.0
"""The extra time for which HTTP waits for a reply. The connection itself answers within the time of a request."""


class HttpOperations:
    """Requests with the same token share a connection, which stays open for a while. Meanwhile the account is online. A
    request without a token has a connection of its own. Streams of events count among `sockets`. `names`: the names of
    all operations.

    The constructor raises ValueError for a trusted proxy that is not a network.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        names: Collection[str],
        check_token: CheckToken,
        settings: Settings,
        sockets: OpenSockets[ClientSocket],
    ) -> None:
        self._endpoint = endpoint
        self._names = names
        self._sockets = sockets
        self._check_token = check_token
        self._request_seconds = settings.edge.request_seconds
        self._body_bytes = settings.limits.text_frame_bytes
        self._trusted = parse_networks(settings.edge.trusted_proxies)
        self._limiter = RateLimiter(settings.limits)
        limits = settings.limits
        seconds = ceil(limits.requests_burst / limits.requests_per_second)
        self._rates = f'"all";q={limits.requests_burst};w={seconds}' if limits.rates else ""
        """The rates in the form of the IETF draft RateLimit, which names the requests of each period."""
        self._logins: dict[str, tuple[OperationConnection, asyncio.Future[OperationReply]]] = {}
        """For each token, its connection and the reply to the login of this connection."""
        self._is_stopping = False

    def stop(self) -> None:
        """Begin no more operations, and answer the operations that wait for events."""
        self._is_stopping = True
        for connection, _ in self._logins.values():
            connection.end_polls()

    async def respond(self, request: Request) -> Response:
        """Raises ClientDisconnect, RequestError."""
        operation = request.path_params["operation"]
        if operation not in self._names:
            return _unknown_operation()
        if request.method != "POST":
            return wrong_method("POST")
        _check_type(request)
        handshake = self._handshake(request)
        body = (await read_body(request, self._body_bytes)).strip() or b"{}"
        if operation == "sync" and (wait := wait_of(body)).wait_ms:
            return self._response(await self._poll(request, handshake, body, wait))
        return self._response(await self._perform(request, handshake, operation, body))

    def _response(self, reply: OperationReply) -> Response:
        response = _response(reply)
        if self._rates:
            response.headers["RateLimit-Policy"] = self._rates
        return response

    async def _poll(self, request: Request, handshake: Handshake, body: bytes, wait: Wait) -> OperationReply:
        """Perform a `sync`. If there is something new, return its reply. Otherwise wait for an event, and return the
        reply to the same `sync` then. The time of waiting does not count for the requests before and after it."""
        token, states = bearer_token(request), wait.for_states
        before = self._logins[token][0].news(states=states) if token in self._logins else 0
        reply = await self._perform(request, handshake, "sync", body)
        if self._is_stopping or has_news(reply) or token not in self._logins:
            return reply
        connection, _ = self._logins[token]
        if not await until_disconnect(request, connection.until_pushed(before, wait.wait_ms / 1000, states=states)):
            raise ClientDisconnect
        if connection.news(states=states) == before:
            return reply
        return await self._perform(request, handshake, "sync", body)

    async def log_in(self, request: Request, identifier: str, password: str) -> str:
        """Log in, and return the token. A password in the form of a hash is sent as a hash. Raises RequestError."""
        scheme = Scheme.SHA256 if Scheme.SHA256.fits(password) else Scheme.PLAIN
        secret = {"scheme": scheme, "value": password}
        body = msgspec.json.encode({"identifier": identifier, "secret": secret})
        reply = await self._perform(request, self._handshake(request), "login", body)
        if (token := reply.result.get("token")) is not None:
            return msgspec.json.decode(token, type=str)
        code = reply.error.code if reply.error is not None else ""
        failed = ErrorCode(code) if code in (ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE) else None
        raise RequestError(failed or ErrorCode.UNAUTHENTICATED, "this login failed")

    async def log_out(self, request: Request, token: str) -> None:
        """Raises RequestError."""
        await self._within(self._perform_logged_in(token, self._handshake(request), "logout", b"{}"))

    async def stream(self, request: Request) -> Response:
        """Answer with the events from now on, or from the client's positions on, until the client or the edge ends the
        connection. Raises RequestError."""
        if request.method not in ("GET", "POST"):
            return wrong_method("GET, POST")
        if request.method == "POST":
            _check_type(request)
        elif body_length(request.headers) != 0:
            raise RequestError(ErrorCode.INVALID, "GET has no body; a long position is the body of POST")
        body = (await read_body(request, self._body_bytes)).strip()
        handshake, token = self._handshake(request), bearer_token(request)
        start = known_positions(request.headers, handshake_of(request, self._trusted).query, body)
        await self._check_token(token)
        return _EventStream(self._open_stream(handshake), self._sockets, token, start)

    def _open_stream(self, handshake: Handshake) -> EventConnection:
        """Open the connection of a stream. Raises RequestError if a limit on connections is reached."""
        if reason := self._sockets.reason_to_reject(handshake.address, asyncio.get_running_loop().time()):
            raise RequestError(ErrorCode.RATE_LIMITED, reason)
        connection = EventConnection(self._endpoint, handshake)
        self._sockets.add(connection, handshake.address)
        return connection

    def _handshake(self, request: Request) -> Handshake:
        """The handshake that a connection of native from this client would have. Raises RequestError."""
        if self._is_stopping:
            raise RequestError(ErrorCode.UNAVAILABLE, "shutting down, please try again")
        own = handshake_of(request, self._trusted)
        handshake = replace(own, path=_NATIVE_PATH, subprotocols=(), query="")
        if isinstance(rejected := self._endpoint.accept(handshake), Reject):
            code = ErrorCode.FORBIDDEN if rejected.status == 403 else ErrorCode.NOT_FOUND
            raise RequestError(code, rejected.text)
        return handshake

    async def _perform(self, request: Request, handshake: Handshake, operation: str, body: bytes) -> OperationReply:
        return await self._within(self._begin(request, handshake, operation, body))

    async def _within(self, operation: Awaitable[OperationReply]) -> OperationReply:
        """Wait for the reply as long as a request may take."""
        try:
            async with asyncio.timeout(self._request_seconds + _ALLOWANCE_SECONDS):
                return await operation
        except TimeoutError:
            return unknown_result("no reply in time")

    async def _begin(self, request: Request, handshake: Handshake, operation: str, body: bytes) -> OperationReply:
        if "authorization" in request.headers and operation not in _BEGINNINGS:
            return await self._perform_logged_in(bearer_token(request), handshake, operation, body)
        self._limiter.admit_address(handshake.address, asyncio.get_running_loop().time())
        connection = OperationConnection(self._endpoint, handshake, lambda _: None)
        try:
            return await connection.perform(operation, body)
        finally:
            connection.end_input()

    async def _perform_logged_in(self, token: str, handshake: Handshake, operation: str, body: bytes) -> OperationReply:
        await self._check_token(token)
        connection, login = self._logins.get(token) or self._connect(token, handshake)
        answer = await asyncio.shield(login)
        if answer.error is not None:
            connection.end_input()
            return answer
        return await connection.perform(operation, body)

    def _connect(self, token: str, handshake: Handshake) -> tuple[OperationConnection, asyncio.Future[OperationReply]]:
        def forget(ended: OperationConnection) -> None:
            if self._logins.get(token, (None,))[0] is ended:
                del self._logins[token]

        connection = OperationConnection(self._endpoint, handshake, forget)
        login = _log_in(connection, token)
        self._logins[token] = connection, login
        return connection, login


def _unknown_operation() -> Response:
    text = "there is no such operation"
    return json_response(404, {"error": {"code": _UNSUPPORTED, "text": text, "field": "op", "request": new_trace()}})


def _check_type(request: Request) -> None:
    """Check the content type. A web page of another origin may send this type only with permission, which it does not
    get. Raises RequestError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestError(ErrorCode.INVALID, "the request needs Content-Type: application/json")


def _log_in(connection: OperationConnection, token: str) -> asyncio.Future[OperationReply]:
    return connection.perform("token", msgspec.json.encode({"token": token, "overtaking": True}))


class _EventStream(Response):
    """The HTTP response with the events of a connection, or with the error of the login. The connection ends with the
    response."""

    def __init__(
        self, connection: EventConnection, sockets: OpenSockets[ClientSocket], token: str, start: EventPositions | None
    ) -> None:
        super().__init__()
        self._connection = connection
        self._sockets = sockets
        self._token = token
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await until_disconnect(Request(scope, receive), self._serve(scope, receive, send))
        finally:
            self._connection.abort()
            self._sockets.discard(self._connection)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        login = await _log_in(self._connection, self._token)
        if login.error is not None:
            return await _response(login)(scope, receive, send)
        try:
            first, positions = await first_part(self._connection, self._start)
        except SyncRejected as rejected:
            return await _response(rejected.reply)(scope, receive, send)
        await StreamingResponse(self._parts(first, positions), headers=_EVENT_STREAM).stream_response(send)

    async def _parts(self, first: bytes, positions: EventPositions) -> AsyncIterator[bytes]:
        yield first
        async with aclosing(self._connection.stream(positions)) as parts:
            async for part in parts:
                yield part


def _response(reply: OperationReply) -> Response:
    members = reply.result
    if reply.events:
        members["events"] = msgspec.Raw(b"[%b]" % b",".join(reply.events))
    error = reply.error
    if error is None:
        return json_response(200, members)
    return json_response(_STATUS[error.code], members, retry_ms=error.retry_ms)
