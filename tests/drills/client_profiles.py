"""How clients of OurChat v2 behave: plain ones, written from the document, and the PC client's family of 2024."""

import hashlib
import time
from typing import Any

from tests.drills.line import Line

_OWN = [
    "ocid", "nickname", "status", "avatar", "avatar_hash", "time", "public_update_time", "update_time", "sessions",
    "friends",
]  # fmt: skip
_SESSION = ["session_id", "name", "avatar", "avatar_hash", "time", "update_time", "members", "owner"]


class Plain:
    """Dials the dialect's own path, logs in by OC number, lists its sessions and talks."""

    path = "/ws/ourchat-v2"
    shy_seconds = 0.1
    """How long it does not speak when it has listed its sessions: what was held back until then is on its way."""

    async def greet(self, line: Line) -> None:
        """What it says before its login."""

    def login(self, ocid: int, email: str, password: str) -> dict[str, Any]:
        return {"code": 6, "login_type": 1, "account": f"{ocid:010d}", "password": password}

    async def settle(self, line: Line, ocid: int) -> None:
        """What it asks after its login."""
        account = await line.insist({"code": 10, "ocid": f"{ocid:010d}", "request_values": ["sessions"]})
        for session in account["data"]["sessions"]:
            await self.list_session(line, int(session))

    async def list_session(self, line: Line, session: int) -> None:
        await line.insist({"code": 1, "session_id": str(session), "request_values": ["session_id"]})

    def message(self, ocid: int, session: int, text: str) -> dict[str, Any]:
        sender = {"ocid": f"{ocid:010d}", "session_id": str(session)}
        return {"code": 0, "time": int(time.time()), "sender": sender, "msg": [{"type": 0, "text": text}]}


class Family(Plain):
    """Dials `/`, asks for the status first, logs in by e-mail, wants every value, writes float times; it speaks only
    when its window is no longer busy, so that its echoes do not overtake what is held back for it."""

    path = "/"
    shy_seconds = 1.2

    async def greet(self, line: Line) -> None:
        await line.ask({"code": 12})

    def login(self, ocid: int, email: str, password: str) -> dict[str, Any]:
        return {"code": 6, "login_type": 0, "account": email, "password": password}

    async def settle(self, line: Line, ocid: int) -> None:
        account = await line.insist({"code": 10, "ocid": f"{ocid:010d}", "request_values": _OWN})
        for session in line.decode(account["data"]["sessions"]):
            await self.list_session(line, int(session))

    async def list_session(self, line: Line, session: int) -> None:
        await line.insist({"code": 1, "session_id": str(session), "request_values": _SESSION})

    def message(self, ocid: int, session: int, text: str) -> dict[str, Any]:
        return {
            "code": 0, "time": time.time(), "sender": {"session_id": str(session)}, "msg": [{"type": 0, "text": text}],
        }  # fmt: skip


def secret(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
