"""Remedies that depend on whether `dragoman up` or the operator runs a server."""

from collections.abc import Sequence

import sqlalchemy as sa

from local.installation import Server
from shared.database import LockHolder


def start(server: Server, settings: str) -> str:
    """The remedy for a server that does not answer. `settings`: the settings that contain its address."""
    if server is Server.ELSEWHERE:
        return f"start it, or set {settings}"
    return "`dragoman up` starts it again; its log lines say why it ended"


def renew_users(server: Server, elsewhere: str) -> str:
    """The remedy if the users of a server have wrong permissions."""
    return elsewhere if server is Server.ELSEWHERE else "restart `dragoman up`, which writes the users again"


def make_room(server: Server) -> str:
    """The remedy if a stream stores no events. After the disk was full, NATS must be restarted."""
    if server is Server.ELSEWHERE:
        return "make room on the disk of nats-server, and restart it"
    return "make room on the disk of the data directory: `dragoman up` then restarts nats-server"


def end_sessions(holders: Sequence[LockHolder]) -> str:
    """The remedy if sessions of PostgreSQL hold locks."""
    return "end it by SQL: " + "; ".join(f"SELECT pg_terminate_backend({holder.pid})" for holder in holders)


def use_database(url: sa.URL, reason: str) -> str:
    """The remedy for a database that cannot be used. `reason`: the driver's error message."""
    if url.get_backend_name() != "sqlite":
        return "start the server, make room on its disk, or set database.url"
    if "locked" in reason:
        return f"end the program that writes to the database: `fuser -v {url.database}` names it, beside Dragoman's own"
    return "make room on its disk, let this user write to it and its directory, or set database.url"
