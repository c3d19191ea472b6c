"""The only code that reads and writes clients' sockets: WebSockets and plain TCP (see
`services.edge.canonical.transport`), and HTTP."""

from services.edge.gateway.server import Gateway

__all__ = ["Gateway"]
