"""Begins a trace for each request of a client."""

from typing import TYPE_CHECKING

from services.edge.canonical.replies import Reply
from services.edge.client.requests import RequestHandler
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from shared.telemetry import trace

if TYPE_CHECKING:
    from shared.tracing import Span, Tracer


class TracedHandler:
    """Passes requests to another handler, and measures it. See services.edge.client.requests."""

    def __init__(self, handler: RequestHandler, tracer: "Tracer") -> None:
        self._handler = handler
        self._tracer = tracer

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        with self._begin(session, request):
            return await self._handler.handle(session, request)

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        with self._begin(session, requests[0]):
            return await self._handler.resolve(session, requests)

    def after_login(self, session: LoginSession) -> None:
        self._handler.after_login(session)

    def _begin(self, session: LoginSession, request: Request) -> "Span":
        name = type(request.command).__name__
        return self._tracer.begin(name, {"dialect": session.dialect.name}, trace_id=trace.get())
