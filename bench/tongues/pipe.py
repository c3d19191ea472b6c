"""pipe, by token: no password is hashed when such a client connects."""

from collections.abc import Sequence

from bench.load import message_tag
from bench.tongues.base import ASIDE, Asked, Heard, Person, Reply, Said, Tongue

_GROUP = 1


class Pipe(Tongue):
    path = "/ws/pipe"
    asks_for_missed = True

    def login(self, person: Person) -> bytes:
        return f"get_user_info|{person.ocid}|{person.ocid}|{person.token}".encode()

    def around(self, person: Person, chat: int) -> tuple[bytes, bytes]:
        head = f"send_message|{_GROUP}|{person.ocid}|{chat}|0|"
        return head.encode(), f"|{person.token}".encode()

    def missed(self, person: Person, chat: int, after: int) -> Sequence[bytes]:
        return b"get_unread_message|", self.login(person)

    def heard(self, payload: bytes) -> Heard:
        word, _, rest = payload.partition(b"|")
        if word == b"message":
            found = message_tag.find(payload)
            return Said(found, int(rest.split(b"|", 3)[2])) if found else ASIDE
        if word == b"send_message_succ":
            return Reply(Asked.MESSAGE)
        if word == b"userinfo":
            return Reply(Asked.LOGIN)
        if word == b"error" or word.endswith(b"_error"):
            return Reply(Asked.ANYTHING, refusal=rest.decode())
        return ASIDE
