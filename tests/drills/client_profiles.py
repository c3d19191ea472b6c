"""Behaviours of OurChat v2 clients: plain ones, written from the document, and those of the PC client's family of
2024."""

import hashlib
import json
import time

from dragoman_client.codec.base import ClientAccount, ClientRequest, Destination
from dragoman_client.codec.events import ReplyKind
from dragoman_client.codec.ourchat_v2 import OurChatV2Codec
from tests.drills.recorded_connection import RecordedConnection

V2 = OurChatV2Codec()
_OWN = [
    "ocid", "nickname", "status", "avatar", "avatar_hash", "time", "public_update_time", "update_time", "sessions",
    "friends",
]  # fmt: skip
_SESSION = ["session_id", "name", "avatar", "avatar_hash", "time", "update_time", "members", "owner"]


class PlainProfile:
    """Dials the dialect's own path, logs in by OC number, lists its sessions and posts."""

    path = V2.path
    silent_seconds = 0.1
    """The client posts nothing for this time after it has listed its sessions, because messages held back until then
    are on their way."""

    async def before_login(self, connection: RecordedConnection) -> None:
        """The requests of the client before the login."""

    def login(self, account: ClientAccount) -> ClientRequest:
        return V2.login(account)

    async def after_login(self, connection: RecordedConnection, ocid: int) -> None:
        """The requests of the client after the login."""
        reply = await connection.request_until_accepted(V2.describe_account(ocid, ["sessions"]))
        for chat in reply.chats:
            await self.list_session(connection, chat.number)

    async def list_session(self, connection: RecordedConnection, session: int) -> None:
        await connection.request_until_accepted(V2.describe_chat(ClientAccount(), session, ["session_id"]))

    def message(self, account: ClientAccount, session: int, text: str) -> ClientRequest:
        return V2.post(account, Destination(session), text)


class PcClientProfile(PlainProfile):
    """Dials `/`, requests the status first, logs in by e-mail, requests every value and writes float times. The client
    posts only when its window is no longer busy, because its echoes must not overtake messages held back for it."""

    path = "/"
    silent_seconds = 1.2

    async def before_login(self, connection: RecordedConnection) -> None:
        await connection.request(V2.request_status())

    def login(self, account: ClientAccount) -> ClientRequest:
        return V2.login(ClientAccount(email=account.email, secret=account.secret))

    async def after_login(self, connection: RecordedConnection, ocid: int) -> None:
        reply = await connection.request_until_accepted(V2.describe_account(ocid, _OWN))
        for chat in reply.chats:
            await self.list_session(connection, chat.number)

    async def list_session(self, connection: RecordedConnection, session: int) -> None:
        await connection.request_until_accepted(V2.describe_chat(ClientAccount(), session, _SESSION))

    def message(self, account: ClientAccount, session: int, text: str) -> ClientRequest:
        frame = {
            "code": 0, "time": time.time(), "sender": {"session_id": str(session)}, "msg": [{"type": 0, "text": text}],
        }  # fmt: skip
        return ClientRequest(json.dumps(frame).encode(), ReplyKind.MESSAGE, text, account.number)


def secret(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
