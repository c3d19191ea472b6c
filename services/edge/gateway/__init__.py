"""The only code that touches clients' sockets: WebSockets and plain TCP behind `services.edge.canonical.transport`, and
HTTP on the port of the WebSockets."""

from services.edge.gateway.server import Gateway

__all__ = ["Gateway"]
