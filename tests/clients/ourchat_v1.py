"""A client of OurChat v1, written from its document."""

from typing import Any

from tests.clients.client import Account, Client, Malformed, RequestRejected, Segment, Sight, parsed, shaped

_NOTHING = 3
"""A code that the server rejects.

Replies keep the order of requests, so the error for this code shows that the requests before it are done.
"""


class V1(Client):
    dialect = "ourchat-v1"
    sees_own = True

    def register(self, account: Account, name: str) -> None:
        data = self._request(4, 5, {"email": account.email, "password": account.password, "name": name})
        account.id, account.token, self.account = shaped(data, ocId=int)["ocId"], data["token"], account

    def login(self, account: Account) -> None:
        data = self._request(6, 7, {"account": account.ocid, "password": account.password})
        assert data["ocid"] == account.id, data
        account.token, self.account = data["token"], account

    def _request(self, code: int, answer: int, data: dict[str, Any]) -> dict[str, Any]:
        self._send(code, **data)
        reply = parsed(self.reply())
        shaped(reply, code=int, time=int, data=dict)
        if reply["code"] != answer or reply["data"]["state"] != 0:
            raise RequestRejected(reply)
        found: dict[str, Any] = reply["data"]
        return found

    def _send(self, code: int, **data: object) -> None:
        self.line.send({"code": code, "time": 0, "data": data})

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """Sends one text segment."""
        where = {"private_id": to} if to else {"group_id": chat}
        self._send(0, sender={"ocid": self.account.id, **where}, msg=segments[0])

    def acknowledged(self) -> int:
        raise RequestRejected(shaped(parsed(self.reply())["data"], details=str))

    # The methods below change groups and friends. The results arrive as pushes.

    def create_group(self, name: str) -> int:
        """Creates a group, and returns its number."""
        self._send(8, group_name=name, ocid=self.account.id)
        while (sight := self.sight(frame := self.line.read())) is None or sight.kind != "admitted":
            self.pending.append(frame)
        assert sight.values["ocid"] == self.account.id, frame
        assert sight.values["group_name"] == name, frame
        number: int = sight.values["group_id"]
        return number

    def request_friend(self, other: int, text: str) -> None:
        self._order(9, add_ocid=other, ocid=self.account.id)

    def answer_friend(self, applicant: int, *, accept: bool) -> None:
        self._order(10 if accept else 11, add_ocid=self.account.id, ocid=applicant)

    def apply(self, group: int, text: str) -> None:
        self._order(9, group_id=group, ocid=self.account.id)

    def answer_applicant(self, group: int, name: str, applicant: int, *, accept: bool) -> None:
        """Accepts or rejects an applicant.

        If the accepted friend has not applied, the call adds the friend to the group.
        """
        self._order(10 if accept else 11, group_id=group, group_name=name, ocid=applicant)

    def rename_group(self, group: int, name: str) -> None:
        self._order(12, group_id=group, ocid=self.account.id, name=name)

    def rename(self, name: str) -> None:
        self._order(12, ocid=self.account.id, name=name)

    def _order(self, code: int, **data: object) -> None:
        """Sends a request. Raises RequestRejected."""
        self._send(code, **data)
        self._send(_NOTHING)
        details = self._error()
        if not details.startswith(f"code {_NOTHING} "):
            self._error()
            raise RequestRejected(details)

    def _error(self) -> str:
        details: str = shaped(parsed(self.reply())["data"], details=str)["details"]
        return details

    def sight(self, frame: str) -> Sight | None:
        read = parsed(frame)
        shaped(read, code=int, time=int, data=dict)
        data = read["data"]
        match read["code"]:
            case 0:
                sender = shaped(data, cid=int, sender=dict, msg=str)["sender"]
                values = {**sender, "msg": data["msg"]}
                return Sight("message", values, {"id": data["cid"], "seconds": read["time"]})
            case 9:
                return Sight("asked", data)
            case 10 if "group_id" in data:
                return Sight("admitted", shaped(data, group_id=int, group_name=str, ocid=int))
            case 10:
                return Sight("befriended", shaped(data, add_ocid=int, ocid=int))
            case 11:
                return Sight("rejected", data)
            case 12:
                assert data["name"] == data["group_name"], frame
                return Sight("renamed", data)
            case 5 | 7 | 18:
                return None
        raise Malformed(frame)
