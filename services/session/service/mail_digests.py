"""Mails about unread messages, for accounts without a device. This module writes the texts, and the links by which
users end these mails."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from services.session.service.ports import PushFailed, PushResult
from services.session.service.push_texts import chosen_language
from services.session.store.push_turns import DeviceChat
from services.session.store.subscriptions import PushDevice
from shared.base64url import decode, encode
from shared.clock import time_zone
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId
from shared.setting_types import Language
from shared.settings import Settings

PublishMail = Callable[[MailRequested, str], Awaitable[None]]
"""Stores a mail as a durable event, once for each key. Raises RequestError."""

_MAC_BYTES, _ACCOUNT_BYTES = 16, 8
_VALID_MS = 86_400_000
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "one": "1 unread message", "several": "{} unread messages", "group": "{} in {} since {}",
        "private": "{} from {} since {}",
        "end": "You get at most one such mail in {:g} minutes. To get none, open this link:",
    },
    "zh": {
        "one": "1 条未读消息", "several": "{} 条未读消息", "group": "{1}：{0}（自 {2}）",
        "private": "{1}：{0}（自 {2}）", "end": "此类邮件每 {:g} 分钟最多一封。如需退订，请打开此链接：",
    },
}  # fmt: skip


def mail_minutes(settings: Settings) -> float:
    """The minutes that a message is unread before it is mailed; 0 if there are no mails."""
    return settings.push.mail_minutes if settings.edge.has_https else 0.0


class MailedChat(NamedTuple):
    """`name`: the name of the group or, in a private chat, of the sender. `since`: when the first unread message was
    sent."""

    name: str
    is_group: bool
    unread: int
    since: int


class MailLinks:
    """Signs and checks the links in mails. The link in a mail ends the mails to its account, without a login (RFC
    8058). It is valid as long as the VAPID key of the installation with which it is signed."""

    def __init__(self, settings: Settings) -> None:
        push, self._base_url = settings.push, settings.edge.public_url.rstrip("/")
        keys = (one.get_secret_value() for one in (push.key, push.previous_key))
        self._keys = [hashlib.sha256(b"unsubscribe" + decode(key)).digest() for key in keys if key]

    def link(self, account: AccountId) -> str:
        number = account.to_bytes(_ACCOUNT_BYTES)
        return f"{self._base_url}/unsubscribe/{encode(number + self._mac(self._keys[0], number))}"

    def account_of(self, token: str) -> AccountId:
        """The account whose mails this link ends. Raises RequestError."""
        try:
            data = decode(token)
        except ValueError:
            data = b""
        number, mac = data[:_ACCOUNT_BYTES], data[_ACCOUNT_BYTES:]
        if not any(hmac.compare_digest(self._mac(key, number), mac) for key in self._keys):
            raise RequestError(ErrorCode.NOT_FOUND, "this link is not valid", "token")
        return AccountId(int.from_bytes(number))

    def _mac(self, key: bytes, number: bytes) -> bytes:
        return hmac.digest(key, number, "sha256")[:_MAC_BYTES]


class MailDigests:
    """Writes mails about unread messages. Auth knows the addresses and sends the mails. `pause_ms`: how long a message
    is unread before it is mailed, and the least time between two mails to an account; 0 if there are no mails."""

    def __init__(self, publish: PublishMail, settings: Settings) -> None:
        self._publish = publish
        self._links = MailLinks(settings)
        self._base_url = settings.edge.public_url.rstrip("/")
        self._hides_names = settings.push.content == "none"
        self._default = settings.language
        self.pause_ms = int(mail_minutes(settings) * 60_000)

    async def send(
        self, device: PushDevice, rows: Sequence[DeviceChat], chats: Sequence[MailedChat], zone: str, now: int
    ) -> None:
        """Sends one mail about these notifications. If a process is killed before it notes the mail, a repetition does
        not send a second one. Raises PushFailed."""
        words = _WORDS[chosen_language(device.language, self._default)]
        times = _times([one.since for one in chats], zone, now)
        subject = _count(words, sum(one.unread for one in chats))
        lines = [subject] if self._hides_names else [_line(words, *one) for one in zip(chats, times, strict=True)]
        link = self._links.link(device.account)
        end = words["end"].format(self.pause_ms / 60_000)
        text = "\n".join([*lines, "", f"{self._base_url}/chat", "", end, link, ""])
        mail = MailRequested("", subject, text, now + _VALID_MS, device.account, link)
        key = repr((device.id, [(row.chat, row.waiting) for row in rows])).encode()
        try:
            await self._publish(mail, hashlib.sha256(key).hexdigest())
        except RequestError as error:
            raise PushFailed(PushResult.FAILED, "no mail was sent") from error


def _count(words: Mapping[str, str], unread: int) -> str:
    return words["one"] if unread <= 1 else words["several"].format(unread)


def _line(words: Mapping[str, str], one: MailedChat, time: str) -> str:
    form = words["group" if one.is_group else "private"]
    return form.format(_count(words, one.unread), one.name, time)


def _times(sent: Sequence[int], zone: str, now: int) -> list[str]:
    """The times as texts, in the time zone of the account's quiet times, else in UTC. A time that is not today has a
    date."""
    place = time_zone(zone) if zone else None
    known = place or UTC
    today = datetime.fromtimestamp(now / 1000, known).date()
    moments = [datetime.fromtimestamp(one / 1000, known) for one in sent]
    forms = ("%H:%M" if one.date() == today else "%Y-%m-%d %H:%M" for one in moments)
    return [one.strftime(form) + ("" if place else " UTC") for one, form in zip(moments, forms, strict=True)]
