"""Serves the first page, on which two users of two dialects can chat in one browser. It is for tests on one's own
machine (`edge.demo`)."""

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.edge.gateway.handshake import WebOrigins
from services.edge.http.request import read_body
from services.edge.http.responses import not_allowed, not_found
from services.edge.http.web_files import WebFiles
from shared.contract.errors import RequestError
from shared.contract.supervision import LINE_BYTES, MessageTimes, SystemProcess, SystemRequest, SystemState
from shared.settings.edge import EdgeSettings

_BODY_BYTES = 4096
_SUPERVISOR_SECONDS = 7.0
_STATUS: Mapping[str, int] = {"": 200, "token": 403, "process": 404}
_ERRORS: Mapping[str, str] = {
    "token": "This is not the token that `dragoman up` has printed.",
    "process": "There is no such process.",
}

_decode = msgspec.json.Decoder(SystemState).decode


class SystemView(msgspec.Struct):
    """The state of the system, as the page shows it. Without a supervisor, there are no `processes`. `dashboard`: the
    port of the dashboard, or 0 if there is none. `way`: the path of a chat's last message, if it was requested."""

    edge: str
    supervised: bool
    processes: list[SystemProcess]
    ready_seconds: float = 0.0
    error: str = ""
    dashboard: int = 0
    way: MessageTimes | None = None


class FirstPage:
    """Answers `GET /` and `/web/…` with files, and `GET /web/api/system` with the processes. `POST /web/api/kill` and
    `/web/api/way` contain a SystemRequest as JSON, and must come from this page. The supervisor checks the token of the
    request."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._name = settings.name
        self._supervisor_port = settings.supervisor_port
        self._origins = {origin.lower() for origin in settings.allowed_origins}
        self._pages = WebOrigins(settings.allowed_origins, settings.public_url)
        self._files = WebFiles()

    async def respond(self, request: Request) -> Response:
        """Raises ClientDisconnect."""
        path = request.scope["path"]
        if not self._pages.is_own(request.headers.get("host", "")):
            return PlainTextResponse(
                "The system does not know this host name: see edge.public_url and edge.allowed_origins.\n", 421
            )
        if path in ("/web/api/kill", "/web/api/way"):
            return await self._command(request) if request.method == "POST" else not_allowed("POST")
        if request.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        if path == "/web/api/system":
            return await self._request(SystemRequest())
        return self._files.find(path, request.headers) or not_found()

    async def _command(self, request: Request) -> Response:
        """The page's origin must be an edge of this system by its configured names. A page of another site has another
        origin. Another host name with the address of this edge is rejected, too."""
        origin = request.headers.get("origin", "").lower()
        if origin not in self._origins or origin.partition("://")[2] != request.headers.get("host", "").lower():
            return PlainTextResponse("Only the first page of this system can request this.\n", 403)
        try:
            wanted = msgspec.json.decode(await read_body(request, _BODY_BYTES), type=SystemRequest)
        except (ValueError, RecursionError, RequestError):
            return PlainTextResponse("The request must be JSON: kill or chat, and token.\n", 400)
        if not (wanted.chat if request.scope["path"].endswith("way") else wanted.kill):
            return PlainTextResponse("The request must name a process, or a chat.\n", 400)
        return await self._request(wanted)

    async def _request(self, wanted: SystemRequest) -> Response:
        try:
            state = await request_supervisor(self._supervisor_port, wanted)
        except NoSupervisor:
            return _json(503 if wanted.kill else 200, SystemView(self._name, supervised=False, processes=[]))
        error = _ERRORS.get(state.error, "")
        view = SystemView(self._name, True, state.processes, state.ready_seconds, error, state.dashboard, state.way)
        return _json(_STATUS[state.error], view)


class NoSupervisor(Exception):
    """There is no supervisor of `dragoman up` that listens on loopback, or it does not answer."""


async def request_supervisor(port: int, request: SystemRequest) -> SystemState:
    """Raises NoSupervisor."""
    if not port:
        raise NoSupervisor
    try:
        async with asyncio.timeout(_SUPERVISOR_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE_BYTES)
            try:
                writer.write(msgspec.json.encode(request) + b"\n")
                return _decode(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError, msgspec.MsgspecError) as error:  # OSError includes TimeoutError
        raise NoSupervisor from error


def _json(status: int, view: SystemView) -> Response:
    return Response(msgspec.json.encode(view), status, {"Cache-Control": "no-store"}, "application/json")
