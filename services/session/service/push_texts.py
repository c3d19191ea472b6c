"""Writes the text of a notification in the language of its device, without input or output."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.session.service.ports import PushMessage
from services.session.store.push_turns import IrcPlace
from services.session.store.subscriptions import PushDevice
from shared.clock import utc_time
from shared.contract.body import unpack
from shared.contract.ids import ChatId
from shared.contract.model import Emoji, File, Image, Message, Segment, Text
from shared.contract.push import IRC
from shared.setting_types import Language
from shared.settings import Settings

MAX_BYTES = 3_993
"""The most bytes of a text; see services.session.adapters.web_push."""
_LINE_BYTES = 510
"""The most bytes of a line of IRC without its tags and its line break."""
_SIZES = (600, 300, 150, 75, 0)
"""The most characters of the body, tried one after the other. The smaller numbers are used if names and texts need many
bytes."""
_TITLE_CHARACTERS = 100
"""The number of characters that are always kept of the title."""
_LINK_CHARACTERS = 2_000
"""If the installation's address is longer than this, the notification has no address."""
_CLOSED = 50
"""The most notifications that one notification can withdraw."""
_DECLARATIVE = 8030
"""The number that marks a notification that a browser can show without running the page's code."""
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "in": "{} in {}", "message": "New message", "messages": "{} new messages", "image": "[image]",
        "file": "[file] {}", "emoji": "[emoji]", "test": "Notifications work on this device",
    },
    "zh": {
        "in": "{}（{}）", "message": "新消息", "messages": "{} 条新消息", "image": "[图片]",
        "file": "[文件] {}", "emoji": "[表情]", "test": "此设备可以收到通知",
    },
}  # fmt: skip


class Shown(NamedTuple):
    """A message to show. `group`: the name of the chat; empty in a private chat. `unread`: unread messages of the chat;
    `badge`: unread messages of all chats that notify. `closed`: chats whose notifications are withdrawn."""

    message: Message
    sender: str
    group: str
    unread: int
    badge: int
    urgent: bool
    closed: Sequence[ChatId] = ()


def chosen_language(tag: str, default: Language) -> Language:
    """The language of a device. `tag`: the BCP 47 tag of the device, or empty for `default`."""
    if not tag:
        return default
    return "zh" if tag.partition("-")[0].lower() == "zh" else "en"


class PushTexts:
    def __init__(self, settings: Settings) -> None:
        self._default = settings.language
        self._content = settings.push.content
        self.irc_server = settings.irc.name
        url = settings.edge.public_url.rstrip("/")
        self._base_url = url if len(url) <= _LINK_CHARACTERS else ""

    def test(self, device: PushDevice) -> PushMessage:
        title = self._words(device.language)["test"]
        if device.kind == IRC:
            return PushMessage(_line(f":{self.irc_server} NOTICE * :{title}"), "test", urgent=True)
        return PushMessage(_packed({"title": title, "tag": "test", **self._link("/chat")}), "test", urgent=True)

    def of_message(self, shown: Shown, language: str) -> PushMessage:
        words, chat, index = self._words(language), shown.message.chat, shown.message.index
        title, body = self._title(shown, words), self._body(shown, words)
        for size in _SIZES:
            closed = shown.closed[: min(size, _CLOSED)]
            more: dict[str, Any] = {"close": [str(one) for one in closed]} if closed else {}
            name = title[: max(size, _TITLE_CHARACTERS)]
            notification = {"title": name, "body": body[:size], "tag": str(chat), "renotify": True}
            notification |= self._link(f"/chat/{chat}/{index}")
            text = _packed(notification, app_badge=shown.badge, unread=shown.unread, **more)
            if len(text) <= MAX_BYTES:
                break
        return PushMessage(text, str(chat), shown.urgent, closed)

    def of_line(self, shown: Shown, place: IrcPlace, language: str) -> PushMessage:
        """The notification as a line of IRC, whose tags name the message and its time. Such a notification withdraws no
        others."""
        message, words = shown.message, self._words(language)
        source = self.irc_server if self._content == "none" else place.source
        text = _text(message, words) if self._content == "full" else words["message"]
        tags = f"@time={utc_time(message.time)};msgid={message.chat}-{message.index}".encode()
        line = _line(f":{source} PRIVMSG {place.target} :{text}")
        return PushMessage(tags + b" " + line, str(message.chat), shown.urgent, shown.closed)

    def _title(self, shown: Shown, words: Mapping[str, str]) -> str:
        if self._content == "none":
            return "Dragoman"
        return words["in"].format(shown.sender, shown.group) if shown.group else shown.sender

    def _body(self, shown: Shown, words: Mapping[str, str]) -> str:
        new = words["message"] if shown.unread <= 1 else words["messages"].format(shown.unread)
        if self._content != "full":
            return new
        text = _text(shown.message, words)
        return text if shown.unread <= 1 else f"{text}\n{new}"

    def _words(self, language: str) -> Mapping[str, str]:
        return _WORDS[chosen_language(language, self._default)]

    def _link(self, path: str) -> dict[str, str]:
        return {"navigate": f"{self._base_url}{path}"} if self._base_url else {}


def _packed(notification: Mapping[str, Any], **more: Any) -> bytes:
    return msgspec.json.encode({"web_push": _DECLARATIVE, "notification": notification, **more})


def _line(text: str) -> bytes:
    return " ".join(text.replace("\0", " ").split()).encode()[:_LINE_BYTES].decode(errors="ignore").encode()


def _text(message: Message, words: Mapping[str, str]) -> str:
    return " ".join(_shown(one, words) for one in unpack(message.body).segments)[: _SIZES[0]]


def _shown(segment: Segment, words: Mapping[str, str]) -> str:
    match segment:
        case Text(text):
            return text
        case Image():
            return words["image"]
        case File(media):
            return words["file"].format(media.name)
        case Emoji():
            return words["emoji"]
        case _:
            return ""
