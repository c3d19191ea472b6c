"""A client of pipe, written from its document."""

from tests.clients.client import Account, Client, Malformed, RequestRejected, Segment, Sight, md5

_PUSHES = ("message", "friend_request", "group_request")


class Pipe(Client):
    dialect = "pipe"
    sees_own = False

    unread = 0
    """The number of unread messages in the reply to the last login."""

    def register(self, account: Account, name: str) -> None:
        """Registers an account. The connection is not logged in afterwards."""
        fields = ("register", account.tag, md5(account.password), name, 1, "", 1, "answer", 0)
        self._check(self._request(*fields), "register_succ|注册成功！")
        self._login(account, account.tag)

    def login(self, account: Account) -> None:
        """Logs in by number. An account of the dialect service logs in by its token."""
        if account.secret:
            self.account = account
            self.friends()
        else:
            self._login(account, account.ocid)

    def _login(self, account: Account, username: str) -> None:
        fields = self._request("login", username, md5(account.password)).split("|")
        if fields[:2] != ["login_succ", "登录成功！"]:
            raise RequestRejected(fields)
        account.id, account.token, self.unread = int(fields[2]), fields[3], int(fields[4])
        self.account = account

    def _request(self, *fields: object) -> str:
        self.line.send("|".join(map(str, fields)))
        return self.reply()

    def _call(self, command: str, *fields: object) -> str:
        return self._request(command, *fields, self.account.token)

    @staticmethod
    def _check(reply: str, *wanted: str) -> None:
        if reply not in wanted:
            raise RequestRejected(reply)

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """Sends one text segment."""
        kind, where = (0, to) if to else (1, chat)
        fields = ("send_message", kind, self.account.id, where, 0, segments[0], self.account.token)
        self.line.send("|".join(map(str, fields)))

    def acknowledged(self) -> int:
        self._check(self.reply(), "send_message_succ|发送成功！")
        return 0

    def take_unread(self, count: int | None) -> None:
        """Requests the oldest unread messages, or all if `count` is None.

        The messages arrive as pushes, without another reply.
        """
        self.line.send(f"get_unread_message|{'' if count is None else count}")

    # All methods below raise RequestRejected. They change friends and groups.

    def request_friend(self, other: int, text: str) -> None:
        self._check(self._call("add_friend", self.account.id, other, text), "add_friend_succ|已发送请求！")

    def remove_friend(self, other: int) -> None:
        self._check(self._call("del_friend", self.account.id, other), "del_friend_succ|删除成功！")

    def answer_friend(self, applicant: int, *, accept: bool) -> None:
        words = "同意请求！" if accept else "拒绝请求！"
        reply = self._call("hand_friend_request", self.account.id, applicant, int(accept))
        self._check(reply, f"hand_friend_request_succ|{words}")

    def create_group(self, name: str) -> int:
        """Creates a group, and returns its number."""
        reply = self._call("create_group", self.account.id, name).split("|")
        if (reply[0], reply[2:]) != ("create_group_succ", ["群组创建成功！"]):
            raise RequestRejected(reply)
        return int(reply[1])

    def apply(self, group: int, text: str) -> None:
        self._check(self._call("join_group", self.account.id, group, text), "join_group_succ|已发送请求！")

    def answer_applicant(self, group: int, name: str, applicant: int, *, accept: bool) -> None:
        words = "同意请求！" if accept else "拒绝请求！"
        reply = self._call("hand_group_request", applicant, group, int(accept))
        self._check(reply, f"hand_group_request_succ|{words}")

    def rename(self, name: str) -> None:
        fields = ("update_profile", self.account.id, self.account.token, name, 1, "", 1, "")
        self._check(self._request(*fields), "update_profile_succ|修改成功！")

    def friends(self) -> set[int]:
        return set(self._listed(self._call("get_user_friend", self.account.id), "friendinfo", 1))

    def groups(self) -> set[int]:
        return set(self._listed(self._call("get_user_group", self.account.id), "groupinfo", 1))

    def group(self, number: int) -> tuple[str, list[int]]:
        """Returns the name of a group, and its members. The owner comes first."""
        reply = self._call("get_group_info", self.account.id, number)
        fields = reply.split("|")
        if fields[:2] != ["groupinfo", str(number)]:
            raise RequestRejected(reply)
        return fields[2], self._listed(reply, "groupinfo", 3)

    def _listed(self, reply: str, head: str, at: int) -> list[int]:
        """Reads a list of ids from a reply. The field with the number `at` is their count, and the ids follow."""
        fields = reply.split("|")
        if fields[0] != head:
            raise RequestRejected(reply)
        if int(fields[at]) != len(fields) - at - 1:
            raise Malformed(reply)
        return list(map(int, fields[at + 1 :]))

    def sight(self, frame: str) -> Sight | None:
        head, _, rest = frame.partition("|")
        if head not in _PUSHES:
            return None
        if head == "message":
            kind, number, seconds, data = rest.split("|", 3)
            return Sight("message", {"type": kind, "id": int(number), "data": data}, {"seconds": int(seconds)})
        return Sight(head, {"fields": rest})
