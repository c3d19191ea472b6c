"""The only code that reads and writes clients' sockets: WebSockets, plain TCP and HTTP."""

from services.edge.gateway.server import Gateway

__all__ = ["Gateway"]
