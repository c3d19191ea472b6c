"""A client of native, written from the dialect's document.

The client requests the messages that it missed. After a login, the server pushes only new messages and the requests of
other users.
"""

import secrets
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from tests.clients.client import Account, Client, Malformed, RequestRejected, Segment, Sight, parsed, shaped
from tests.clients.line import SECONDS

_FAR_FUTURE_MS = 4_000_000_000_000
_GATHERED = ("read", "receipts", "typing", "presence", "mute", "settings", "synced")
"""Events that are not `Sight`s. Of most of them, the client keeps only the newest; `read_by` is an example."""


class Native(Client):
    dialect = "native"
    sees_own = False

    def __init__(self, edge: str, *, bare: bool = False) -> None:
        super().__init__(edge, bare=bare)
        self._ids = count(1)
        self.read_by: dict[tuple[int, int], int] = {}
        """The last message that another member has read, as far as this client is informed.

        The keys are chat and account.
        """
        self._members: dict[int, tuple[int, dict[int, str]]] = {}
        """For each chat, the version of the member list that the client has, and the roles of the members in it."""

    def register(self, account: Account, name: str) -> None:
        """Registers with the plain password, so that the account can log in to every dialect."""
        names = {"nickname": name, "username": account.tag, "email": account.email}
        reply = self.call("register", **names, secret=_secret(account))
        account.id, account.token, self.account = reply["account"], reply["token"], account

    def login(self, account: Account) -> None:
        reply = self.call("login", kind="id", identifier=str(account.id), secret=_secret(account))
        assert reply["account"] == account.id, reply
        account.token, self.account = reply["token"], account

    def login_by_token(self, account: Account) -> None:
        assert self.call("token", token=account.token)["account"] == account.id
        self.account = account

    def call(self, op: str, **members: object) -> dict[str, Any]:
        """Sends a command and returns the members of its reply. Raises RequestRejected."""
        self._send(op, **members)
        return self._result()

    def _send(self, op: str, **members: object) -> None:
        self.line.send({"op": op, "id": next(self._ids), **members})

    def _result(self) -> dict[str, Any]:
        """Returns the next result. The server replies in the order of the commands."""
        reply = parsed(self.reply())
        if "error" in reply:
            raise RequestRejected(shaped(reply["error"], code=str, text=str))
        return reply

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        where = {"to": to} if to and not chat else {"chat": chat}
        self._send("send", **where, segments=_segments(segments), nonce=secrets.token_hex(8))

    def reply_to(self, chat: int, index: int, segments: tuple[Segment, ...]) -> None:
        """Sends a message that is a reply to another message."""
        self._send("send", chat=chat, segments=_segments(segments), reply_to=index, nonce=secrets.token_hex(8))

    def acknowledged(self) -> int:
        return int(shaped(self._result(), chat=int, index=int, id=int, time=int)["index"])

    def read_history(self, chat: int, index: int, count: int, direction: str) -> list[Sight]:
        page = self.call("history", chat=chat, count=count, dir=direction, **{"from": index})
        return [_message(one) for one in page["messages"]]

    def send_change(
        self, chat: int, index: int, kind: str, segments: tuple[Segment, ...] = (), emoji: str = "", *, on: bool = True
    ) -> None:
        """Sends a change of a message. `kind` is the kind in the event `changed`."""
        match kind:
            case "edit":
                self._send("edit", chat=chat, index=index, segments=_segments(segments), nonce=secrets.token_hex(8))
            case "reaction":
                self._send("react" if on else "unreact", chat=chat, index=index, emoji=emoji)
            case "pin":
                self._send("pin" if on else "unpin", chat=chat, index=index)
            case _:
                self._send(kind, chat=chat, index=index)

    def changed_rev(self) -> int:
        """Reads the reply to a change, and returns the change's rev. Raises RequestRejected."""
        return int(shaped(self._result(), rev=int)["rev"])

    def missed(self, chat: int, index: int, rev: int, timeline: int) -> tuple[list[Sight], list[dict[str, Any]]]:
        """Syncs one chat, as a client that has its messages up to `index` and its changes up to `rev`.

        Returns at most `timeline` new messages, the newest ones, and the changes of messages that the client has.
        """
        self.call("sync", have={str(chat): [index, rev]}, window=100, timeline=timeline)
        messages, changes = list[Sight](), list[dict[str, Any]]()
        while (event := parsed(self.pending.popleft() if self.pending else self.line.read()))["ev"] != "synced":
            if event.get("chat") == chat and event["ev"] == "message":
                messages.append(_message(event))
            elif event.get("chat") == chat and event["ev"] == "changed":
                changes.append(shaped(event, rev=int, index=int, kind=str, by=int))
        return messages, changes

    def resumed(self, known: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Syncs as a client that was offline, and returns the summaries of all chats by number.

        `known`: the chat summaries of the previous sync. The client has all messages and changes up to them.
        """
        have = {str(number): [head["head"], head["rev"]] for number, head in known.items()}
        states = {str(number): head["state"] for number, head in known.items()}
        heads, before = dict(known), None
        while True:
            page = self._heads(have, states=states, before=before)
            heads |= {head["chat"]: head for head in page["chats"]}
            heads = {number: head for number, head in heads.items() if number not in page["gone"]}
            if (before := page.get("before")) is None:
                return {number: _bare_head(head) for number, head in heads.items()}

    def _heads(self, have: dict[str, list[int]], **members: object) -> dict[str, Any]:
        """Returns one page of a sync. Drops the changes that the server pushes with the page."""
        page, pushed = self.call("sync", have=have, window=100, timeline=0, **members), list[str]()
        while (event := parsed(frame := self.pending.popleft() if self.pending else self.line.read()))[
            "ev"
        ] != "synced":
            if event["ev"] != "changed" or str(event["chat"]) not in have:
                pushed.append(frame)
        self.pending.extendleft(reversed(pushed))
        return page

    def read(self, chat: int, index: int) -> None:
        """Marks the messages up to an index as read."""
        self.call("read", chat=chat, index=index)

    def readers(self, chat: int, index: int) -> set[int]:
        return set(self.call("readers", chat=chat, index=index)["accounts"])

    def reactors(self, chat: int, index: int) -> dict[int, set[str]]:
        """Returns the accounts that have reacted to a message, by emoji. Reads them in pages of two."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = found[-1]["account"] if found else 0
            page = self.call("reactors", chat=chat, index=index, after=after, count=2)
            found, more = found + page["reactors"], page["more"]
        return {one["account"]: {*one["emojis"]} for one in found}

    def changes(self, chat: int) -> list[Sight]:
        """Returns all changes of a chat that the server keeps."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            page = self.call("changes", chat=chat, after=found[-1]["rev"] if found else 0)
            found, more = found + page["changes"], page["more"]
        return [Sight(one["kind"], shaped(one, chat=int, rev=int, index=int, by=int)) for one in found]

    # All methods below raise RequestRejected. They change friends and groups.

    def create(self, members: Sequence[int], name: str) -> int:
        """Creates a group, and returns its number."""
        number: int = self.call("create", members=list(members), name=name)["chat"]
        return number

    def apply(self, group: int, text: str) -> None:
        self.call("join", chat=group, text=text)

    def answer_applicant(self, group: int, name: str, applicant: int, *, accept: bool) -> None:
        self.call("answer_join", chat=group, account=applicant, accept=accept)

    def rename_group(self, group: int, name: str) -> None:
        self.call("set_chat", chat=group, name=name)

    def invite(self, group: int, accounts: list[int]) -> set[int]:
        """Invites accounts, and returns those that are now members."""
        return {*self.call("invite", chat=group, accounts=accounts)["added"]}

    def set_rules(self, group: int, edit_s: int | None, recall_s: int | None, *, history_for_new: bool | None) -> None:
        self.call("set_chat", chat=group, edit_s=edit_s, recall_s=recall_s, history_for_new=history_for_new)

    def set_role(self, group: int, member: int, role: str) -> None:
        if role == "owner":
            self.call("transfer", chat=group, account=member)
        else:
            self.call("role", chat=group, account=member, role=role)

    def end_membership(self, group: int, member: int) -> None:
        if member == self.account.id:
            self.call("leave", chat=group)
        else:
            self.call("kick", chat=group, account=member)

    def ban(self, group: int, account: int, *, on: bool) -> None:
        self.call("ban" if on else "unban", chat=group, account=account)

    def bans(self, group: int) -> set[int]:
        return {one["account"] for one in self.call("bans", chat=group)["bans"]}

    def mute(self, chat: int, *, on: bool) -> None:
        self.call("mute", chat=chat, until=_FAR_FUTURE_MS if on else 0)

    def silence(self, group: int, member: int, *, on: bool) -> None:
        """Silences a member. If `member` is 0, silences all members except the owner and admins."""
        account = {"account": member} if member else {}
        self.call("silence", chat=group, until=_FAR_FUTURE_MS if on else 0, **account)

    def request_friend(self, other: int, text: str) -> None:
        self.call("befriend", account=other, text=text)

    def answer_friend(self, applicant: int, *, accept: bool) -> None:
        self.call("answer_friend", account=applicant, accept=accept)

    def remove_friend(self, other: int) -> None:
        self.call("unfriend", account=other)

    def block(self, other: int, *, on: bool) -> None:
        self.call("block" if on else "unblock", account=other)

    def rename(self, name: str) -> None:
        self.call("set_profile", nickname=name)

    def friends(self) -> set[int]:
        return set(self.call("friends")["friends"])

    def blocked(self) -> set[int]:
        return set(self.call("blocks")["accounts"])

    def chats(self) -> dict[int, dict[str, Any]]:
        """Returns the summaries of all chats by number, in the form of a sync."""
        return {head["chat"]: _bare_head(head) for head in self._heads({})["chats"]}

    def roles(self, chat: int) -> dict[int, str]:
        """Returns the role of each member. Requests only the changes since the version that the client has."""
        version, known = self._members.get(chat, (0, {}))
        page = self.call("members", chat=chat, since=version)
        assert not page["more"], page
        if page.get("since", 0) == 0:
            known = {}
        known = known | {one["account"]: one["role"] for one in page["members"]}
        known = {account: role for account, role in known.items() if role != "left"}
        self._members[chat] = page["version"], known
        return known

    def chat(self, number: int) -> dict[str, Any]:
        return self.call("chat", chat=number)

    def see(self, seconds: float = SECONDS) -> Sight:
        deadline = time.monotonic() + seconds
        while (sight := super().see(max(deadline - time.monotonic(), 0))).kind in _GATHERED:
            if sight.kind == "receipts":
                self.read_by |= {(sight.values["chat"], account): index for account, index in sight.values["upto"]}
        return sight

    def sight(self, frame: str) -> Sight | None:
        read = parsed(frame)
        if "re" in read:
            return None
        kind = shaped(read, ev=str)["ev"]
        if kind == "message":
            return _message(read)
        if kind == "changed":
            return _change(read)
        if kind == "request":
            return Sight(kind, {**shaped(read, account=int, text=str), "chat": read.get("chat")})
        if kind == "friend":
            answered = shaped(read, account=int, accepted=bool)
            return Sight(kind, {"pair": {self.account.id, answered["account"]}, "accepted": answered["accepted"]})
        if kind in _SHAPES:
            return Sight(kind, shaped(read, **_SHAPES[kind]))
        raise Malformed(frame)


_SHAPES: dict[str, dict[str, type]] = {
    "synced": {},
    "chat": {"chat": int, "kind": str},
    "gone": {"chat": int, "why": str},
    "role": {"chat": int, "account": int, "role": str, "by": int},
    "renamed": {"chat": int, "name": str, "by": int},
    "member": {"chat": int, "account": int, "name": str, "accepted": bool},
    "profile": {"account": int, "nickname": str},
    "read": {"chat": int, "index": int, "unread": int, "mentions": int},
    "receipts": {"chat": int, "upto": list},
    "mute": {"chat": int, "until": int},
    "settings": {"chat": int, "by": int},
}


_CHANGES: dict[str, dict[str, type]] = {
    "edit": {"segments": list},
    "recall": {},
    "reaction": {"reactions": dict, "emoji": str, "on": bool},
    "pin": {"on": bool},
}


def _secret(account: Account) -> dict[str, str]:
    return {"scheme": "plain", "value": account.password}


def _bare_head(head: dict[str, Any]) -> dict[str, Any]:
    """Removes the values that depend on the request from a chat summary of a sync."""
    return {name: value for name, value in head.items() if name not in ("gap", "changes_after")}


def _segments(segments: tuple[Segment, ...]) -> list[dict[str, Any]]:
    return [{"t": "text", "text": one} if isinstance(one, str) else {"t": "emoji", "id": one} for one in segments]


def _message(read: dict[str, Any]) -> Sight:
    """Returns the sight of a message.

    `to` is the other member of a private chat. Members that the frame lacks are false or empty.
    """
    shaped(read, index=int, id=int, time=int, segments=list)
    values = {
        **shaped(read, chat=int, sender=int),
        "to": read.get("to"),
        "name": shaped(read["face"], nickname=str)["nickname"],
        "segments": _shown(read["segments"]),
        "reply_to": read.get("reply_to", 0),
        "edited": read.get("edited", False),
        "recalled": read.get("recalled", False),
        "reactions": read.get("reactions", {}),
        "mine": set(read.get("mine", [])),
    }
    return Sight("message", values, {"index": read["index"], "id": read["id"], "ms": read["time"]})


def _change(read: dict[str, Any]) -> Sight:
    """Returns the sight of a change. Its kind and values are those of the change."""
    kind = shaped(read, kind=str, time=int)["kind"]
    values = shaped(read, chat=int, rev=int, index=int, by=int, **_CHANGES[kind])
    if "segments" in values:
        values["segments"] = _shown(values["segments"])
    return Sight(kind, values)


def _shown(segments: list[dict[str, Any]]) -> tuple[Segment, ...]:
    return tuple([one["text"] if one["t"] == "text" else one["id"] for one in segments])
