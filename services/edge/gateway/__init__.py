"""The only code that touches clients' sockets: WebSockets behind `services.edge.canonical.transport`, and the port
they share with HTTP."""

from services.edge.gateway.server import Gateway

__all__ = ["Gateway"]
