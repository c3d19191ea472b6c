"""A client of the dialect service, written from the dialect's document.

The client gets pushes only if it requests them at login.
"""

import base64
import json
from typing import Any

from tests.clients.client import Account, Client, RequestRejected, Segment, Sight, parsed, shaped


class Service(Client):
    dialect = "service"
    sees_own = False

    def __init__(self, edge: str, *, bare: bool = False, push: bool = False) -> None:
        super().__init__(edge, bare=bare)
        self.push = push

    def register(self, account: Account, name: str) -> None:
        """Registers an account, whose name is made from its uuid."""
        self._enter(2, account, account.secret)

    def login(self, account: Account) -> None:
        """Logs in by the account's secret, or by a token from a login in another dialect."""
        self._enter(1, account, account.secret or account.token)

    def _enter(self, code: int, account: Account, secret: str) -> None:
        self.line.send({"service_code": code, "content": {"id": account.uuid, "token": secret, "push": self.push}})
        account.token = self._content()["token"]
        account.id, self.account = _subject(account.token), account

    def call(self, code: int, **content: object) -> dict[str, Any]:
        """Sends a request and returns the content of the reply. Raises RequestRejected."""
        self.post(code, **content)
        return self._content()

    def post(self, code: int, **content: object) -> None:
        self.line.send({"service_code": code, "content": {"token": self.account.token, **content}})

    def _content(self) -> dict[str, Any]:
        reply = shaped(parsed(self.reply()), state_code=int, content=dict)
        content: dict[str, Any] = reply["content"]
        if reply["state_code"] != 200 or content.get("msg", "success") != "success":
            raise RequestRejected(reply)
        return content

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """Sends one text segment."""
        self.post(5, chat=chat, msg=segments[0])

    def acknowledged(self) -> int:
        index: int = shaped(self._content(), index=int)["index"]
        return index

    def create(self, name: str, uuids: list[str], *, private: bool = False) -> int:
        """Creates a group, or a private chat if there is only one other member. Returns the chat's number."""
        members = [{"id": uuid} for uuid in uuids]
        number: int = shaped(self.call(7, name=name, is_group=not private, member=members), chat=int)["chat"]
        return number

    def join(self, chat: int) -> None:
        self.call(6, chat=chat)

    def chats(self) -> dict[int, dict[str, Any]]:
        """Returns all chats by number, each with its name, type and members' uuids."""
        rows = [shaped(one, id=int, name=str, type=str, is_group=bool, usrs=list) for one in self.call(4)["values"]]
        return {row["id"]: {**row, "usrs": [user["id"] for user in row["usrs"]]} for row in rows}

    def read_history(self, code: int, chat: int, index: int, count: int) -> list[Sight]:
        """Reads messages of the history: older ones with code 3, newer ones with code 9."""
        values = self.call(code, chat=chat, index=index, count=count)["values"]
        return [_value(chat, one, named=code == 9) for one in values]

    def sight(self, frame: str) -> Sight | None:
        read = parsed(frame)
        if read.get("service_code") != 8:
            return None
        content = shaped(read["content"], chat=int, values=list)
        (value,) = content["values"]
        return _value(content["chat"], value, named=True)


def _subject(token: str) -> int:
    """Returns the account's number, which only the token contains."""
    payload = token.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


def _value(chat: int, value: Any, *, named: bool) -> Sight:
    row = shaped(value, id=str, content=str, index=int, time=int, **({"name": str} if named else {}))
    facts = {"index": row.pop("index"), "seconds": row.pop("time")}
    return Sight("message", {"chat": chat, **row}, facts)
