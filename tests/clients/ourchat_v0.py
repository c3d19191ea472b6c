"""A client of OurChat v0, written from its document."""

from typing import Any

from tests.clients.client import Account, Client, Malformed, RequestRejected, Segment, Sight, parsed, shaped


class V0(Client):
    dialect = "ourchat-v0"
    sees_own = True

    def register(self, account: Account, name: str) -> None:
        """Registers an account. The part of the e-mail address before the `@` is the name."""
        data = self._request(4, 5, {"mail": account.email, "password": account.password})
        account.id, account.token = int(shaped(data, ocId=str)["ocId"]), data["token"]
        self.account = account

    def login(self, account: Account) -> None:
        data = self._request(6, 7, {"ocId": account.ocid, "password": account.password})
        account.token, self.account = data["token"], account

    def _request(self, code: int, answer: int, data: dict[str, Any]) -> dict[str, Any]:
        self.line.send({"code": code, "data": data})
        reply = parsed(self.reply())
        if reply["code"] != answer or reply["data"]["state"] != 0:
            raise RequestRejected(reply)
        found: dict[str, Any] = reply["data"]
        return found

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """Sends one text or emoji."""
        (segment,) = segments
        where = {"cid": chat, "sender_id": self.account.ocid}
        if isinstance(segment, str):
            self.line.send({"code": 0, "data": {**where, "msg": segment}})
        else:
            self.line.send({"code": 1, "data": {**where, "emojiId": segment}})

    def acknowledged(self) -> int:
        raise RequestRejected(shaped(parsed(self.reply())["data"], details=str))

    def sight(self, frame: str) -> Sight | None:
        read = parsed(frame)
        match read.get("code"):
            case 0:
                return Sight("text", shaped(read.get("data"), cid=int, sender_id=str, msg=str))
            case 1:
                return Sight("emoji", shaped(read.get("data"), cid=int, sender_id=str, emojiId=int))
            case 5 | 7 | 18:
                return None
        raise Malformed(frame)
