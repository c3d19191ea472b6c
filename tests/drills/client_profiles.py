"""How OurChat v2 clients behave: plain clients, written from the dialect's document, and the PC client of 2024 and its
relatives.
"""

import hashlib
import json
import time

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination
from dragoman_client.codec.events import ReplyKind
from dragoman_client.codec.ourchat_v2 import OurChatV2Codec
from tests.drills.recorded_connection import Decode, RecordedConnection

V2 = OurChatV2Codec()
_OWN = [
    "ocid", "nickname", "status", "avatar", "avatar_hash", "time", "public_update_time", "update_time", "sessions",
    "friends",
]  # fmt: skip
_SESSION = ["session_id", "name", "avatar", "avatar_hash", "time", "update_time", "members", "owner"]


class PlainProfile:
    """A plain client. It connects to the dialect's own path, logs in by OC number, lists its sessions and posts."""

    codec: Codec = V2
    path = V2.path
    silent_seconds = 0.1
    """The client posts nothing for this time after it has listed its sessions.

    In this time, the messages that the edge has held back for the client arrive.
    """

    def decoder(self) -> Decode:
        """Returns the function that decodes the frames of a new connection."""
        return self.codec.decode

    async def before_login(self, connection: RecordedConnection) -> None:
        """Returns the requests that the client sends before the login."""

    def login(self, account: ClientAccount) -> ClientRequest:
        return V2.login(account)

    async def after_login(self, connection: RecordedConnection, ocid: int) -> None:
        """Returns the requests that the client sends after the login."""
        reply = await connection.request_until_accepted(V2.describe_account(ocid, ["sessions"]))
        for chat in reply.chats:
            await self.list_session(connection, chat.number)

    async def list_session(self, connection: RecordedConnection, session: int) -> None:
        await connection.request_until_accepted(V2.describe_chat(ClientAccount(), session, ["session_id"]))

    def message(self, account: ClientAccount, session: int, text: str) -> ClientRequest:
        return V2.post(account, Destination(session), text)


class PcClientProfile(PlainProfile):
    """The PC client of 2024. It connects to `/`, requests the status first, logs in by e-mail, requests every value and
    writes times as floats.

    The edge holds back messages for this client. The client posts only when its window is no longer busy, because the
    echoes of its own messages must not overtake the messages that are held back.
    """

    path = "/"
    silent_seconds = 1.2

    async def before_login(self, connection: RecordedConnection) -> None:
        await connection.request(ClientRequest(b'{"code":12}', ReplyKind.STATUS))

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
