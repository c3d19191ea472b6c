"""Remedies that depend on who runs a server: the `dragoman up` in the data directory, or somebody else."""

from collections.abc import Sequence

import sqlalchemy as sa

from local.installation import Server
from shared.database_proof import LockHolder


def start(server: Server, settings: str) -> str:
    """For a server that does not answer. `settings`: those that name it."""
    return {
        Server.HERE: "`dragoman up` starts it again; its lines in the log say why it ended",
        Server.NOWHERE: f"start `dragoman up`, or set {settings}",
        Server.ELSEWHERE: f"start it, or set {settings}",
    }[server]


def renew_users(server: Server, elsewhere: str) -> str:
    """For users of a server that have wrong rights."""
    return elsewhere if server is Server.ELSEWHERE else "stop `dragoman up`, and start it again: it writes the users"


def make_room(server: Server) -> str:
    """For a stream that stores nothing: after a full disk, NATS must be started again."""
    if server is Server.ELSEWHERE:
        return "make room on the disk of nats-server, and start it again"
    return "make room on the disk of the data directory: `dragoman up` then starts nats-server again"


def end_sessions(holders: Sequence[LockHolder]) -> str:
    """For locks of PostgreSQL."""
    return "end it by SQL: " + "; ".join(f"SELECT pg_terminate_backend({holder.pid})" for holder in holders)


def use_database(url: sa.URL, reason: str) -> str:
    """For a database that cannot be used. `reason`: the driver's words."""
    if url.get_backend_name() != "sqlite":
        return "start it, make room on its disk, or set database.url"
    if "locked" in reason:
        return f"end the program that writes to it: `fuser -v {url.database}` names it, beside Dragoman's own"
    return "make room on its disk, let this user write to it and its directory, or set database.url"
