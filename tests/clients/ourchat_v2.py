"""A client of OurChat v2, written from the dialect's document.

The client requests its own profile at login, and each session that a push announces. A *session* is a chat in this
dialect.
"""

import json
from typing import Any

from tests.clients.client import Account, Client, Malformed, RequestRejected, Segment, Sight, parsed, shaped


class V2(Client):
    dialect = "ourchat-v2"
    sees_own = True

    def register(self, account: Account, name: str) -> None:
        """Registers with the plain password, so that the account can log in to every dialect."""
        reply = self._request(4, 5, email=account.email, password=account.password, name=name)
        account.id, account.token, self.account = int(reply["ocid"]), reply["token"], account

    def login(self, account: Account) -> None:
        """Logs in. An account that was registered with a plain password may also log in by the hash of it."""
        reply = self._request(6, 7, login_type=1, account=account.ocid, password=account.password)
        assert reply["ocid"] == account.ocid, reply
        account.token, self.account = reply["token"], account

    def _request(self, code: int, answer: int, **rest: object) -> dict[str, Any]:
        """Raises RequestRejected."""
        self.line.send({"code": code, **rest})
        reply = parsed(self.reply())
        if reply["code"] != answer or reply["status"] != 0:
            raise RequestRejected(reply)
        return reply

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        wire = [{"type": 0, "text": one} if isinstance(one, str) else {"type": 1, "emoji_id": one} for one in segments]
        sender = {"ocid": self.account.ocid, "session_id": str(chat)}
        self.line.send({"code": 0, "time": 0, "sender": sender, "msg": wire})

    def acknowledged(self) -> int:
        raise RequestRejected(shaped(parsed(self.reply()), code=int, details=str))

    # The methods below change sessions and the user's own profile.

    def create(self, members: list[int], name: str) -> int:
        """Creates a session, and returns its number. Raises RequestRejected."""
        self.line.send({"code": 8, "members": [f"{member:010d}" for member in members], "name": name})
        while (sight := self.sight(frame := self.line.read())) is None or sight.kind != "appeared":
            if sight is None:
                if parsed(frame).get("status") == 1:  # the reason for the failure is in the next frame
                    shaped(parsed(self.reply()), code=int, details=str)
                raise RequestRejected(frame)
            self.pending.append(frame)
        number: int = sight.values["session_id"]
        return number

    def session(self, number: int, *values: str) -> dict[str, Any]:
        """Requests these values of a session, and returns them. Raises RequestRejected."""
        data: dict[str, Any] = self._request(1, 2, session_id=str(number), request_values=list(values))["data"]
        assert set(data) == set(values), data
        assert data["session_id"] == str(number), data
        return data

    def oneself(self) -> dict[str, Any]:
        """Requests the user's nickname, sessions and friends."""
        values = ["nickname", "sessions", "friends"]
        data = self._request(10, 11, ocid=self.account.ocid, request_values=values)["data"]
        shaped(data, nickname=str, sessions=list, friends=list)
        numbers = {name: set(map(int, data[name])) for name in ("sessions", "friends")}
        return {"nickname": data["nickname"], **numbers}

    def rename(self, name: str) -> None:
        self._request(19, 20, ocid=self.account.ocid, data={"nickname": name})

    def sight(self, frame: str) -> Sight | None:
        read = parsed(frame)
        match read.get("code"):
            case 0:
                return _message(read)
            case 9 if read["status"] == 0:
                return Sight("appeared", {"session_id": int(shaped(read, session_id=str)["session_id"])})
            case int():
                return None
        raise Malformed(frame)


def _message(read: dict[str, Any]) -> Sight:
    shaped(read, time=int, msg_id=str, sender=dict, msg=list)
    sender = shaped(read["sender"], ocid=str, session_id=str)
    segments = [one["emoji_id"] if one["type"] == 1 else shaped(one, text=str)["text"] for one in read["msg"]]
    values = {"session_id": int(sender["session_id"]), "ocid": sender["ocid"], "msg": segments}
    return Sight("message", values, {"id": int(read["msg_id"]), "ms": read["time"]})


class Pc(V2):
    """The PC client of 2024. The server detects it by the values that it requests of its own profile.

    This client gets lists as strings, and gets messages only of sessions that it has requested.
    """

    def __init__(self, edge: str, *, bare: bool = True) -> None:
        super().__init__(edge, bare=True)

    def oneself(self) -> dict[str, Any]:
        values = ["nickname", "sessions", "friends", "public_update_time"]
        data = self._request(10, 11, ocid=self.account.ocid, request_values=values)["data"]
        shaped(data, nickname=str, sessions=str, friends=str, public_update_time=int)
        numbers = {name: set(map(int, json.loads(data[name]))) for name in ("sessions", "friends")}
        return {"nickname": data["nickname"], **numbers}
