"""The texts by which the terminal client describes events."""

from collections.abc import Callable, Mapping

from dragoman_client.codec.base import ClientAccount, Destination
from dragoman_client.codec.events import (
    ListedChat,
    MaintenanceStatus,
    NotificationKind,
    OtherFrame,
    PendingRequests,
    ReceivedChange,
    ReceivedMedia,
    ReceivedMessage,
    ReceivedNotification,
    ReceivedPart,
)

News = (
    ReceivedMedia
    | ReceivedNotification
    | ReceivedChange
    | PendingRequests
    | MaintenanceStatus
    | ReceivedPart
    | OtherFrame
)
"""Events that are neither messages nor replies."""

_K = NotificationKind
_NOTIFICATIONS: Mapping[NotificationKind, Callable[[ReceivedNotification], str]] = {
    _K.CHAT_ADDED: lambda news: f"you are in chat {news.chat} now",
    _K.CHAT_SETTINGS_CHANGED: lambda news: f"chat {news.chat} has new settings; its topic: {news.text or 'none'}",
    _K.CHAT_MUTED: lambda news: f"you have muted or unmuted chat {news.chat} on another connection",
    _K.CHAT_RENAMED: lambda news: f"chat {news.chat} is called {news.name} now",
    _K.CHAT_LEFT: lambda news: f"you are not in chat {news.chat} any more",
    _K.ROLE_CHANGED: lambda news: f"user {news.user} of chat {news.chat}: {news.text}",
    _K.USER_RENAMED: lambda news: f"user {news.user} is called {news.name} now",
    _K.MEMBERSHIP_REQUESTED: lambda news: (
        f"user {news.user} asks to join chat {news.chat}{_words(news)}: /accept {news.chat} {news.user}"
    ),
    _K.MEMBERSHIP_GRANTED: lambda news: f"user {news.user} is a member of chat {news.chat} ({news.name}) now",
    _K.MEMBERSHIP_REJECTED: lambda news: f"you may not join chat {news.chat}",
    _K.FRIENDSHIP_REQUESTED: lambda news: f"user {news.user} wants to be your friend{_words(news)}",
    _K.FRIENDSHIP_ACCEPTED: lambda news: "you have a new friend",
    _K.FRIENDSHIP_REJECTED: lambda news: "a request to be friends was rejected",
    _K.TYPING: lambda news: f"user {news.user} writes a message in chat {news.chat}",
    _K.TYPING_ENDED: lambda news: f"user {news.user} has stopped writing in chat {news.chat}",
    _K.PRESENCE_CHANGED: lambda news: f"user {news.user} is {news.text}",
    _K.CHAT_READ: lambda news: f"you have read chat {news.chat} on another connection",
    _K.CHAT_MARKED_UNREAD: lambda news: f"you have marked chat {news.chat} as unread on another connection",
    _K.CHAT_MOVED: lambda news: f"chat {news.chat} is {news.text or 'neither pinned nor archived'} now",
    _K.DRAFT_CHANGED: lambda news: (
        f"your draft in chat {news.chat} is now: {news.text}"
        if news.text
        else f"your draft in chat {news.chat} is sent or removed"
    ),
    _K.OWN_SETTINGS_CHANGED: lambda news: "you have changed your settings on another connection",
    _K.READ_BY_OTHERS: lambda news: f"chat {news.chat} is read by {news.text}",
    _K.VERIFICATION_PASSED: lambda news: "your e-mail address is verified",
    _K.VERIFICATION_FAILED: lambda news: "the link was opened with a wrong code; the mailed one still works",
    _K.VERIFICATION_EXPIRED: lambda news: "nobody opened the mailed link in time: register or log in again",
}


def news(received: News) -> str:
    """The text of an event; empty if the event has no news."""
    match received:
        case ReceivedMedia():
            return _media(received)
        case ReceivedNotification():
            return _NOTIFICATIONS[received.kind](received)
        case ReceivedChange():
            return _change(received)
        case PendingRequests(requests):
            return "\n".join(_NOTIFICATIONS[request.kind](request) for request in requests)
        case MaintenanceStatus(active):
            return "the server is in maintenance" if active else "the server's maintenance has ended"
        case _:
            return ""


def message(received: ReceivedMessage, account: ClientAccount, names: Mapping[str, str], chat: int = 0) -> str:
    """The text of a message. `names`: the names of users by UUID. `chat`: the chat if the message is from a page of
    history, because such messages do not name their chat."""
    where = place(received, account, chat)
    if _is_own(received, account):
        return own_message(where, received.text)
    return f"[{destination(where)}] {_sender(received, names)}{received.text}"


def own_message(chat: Destination, text: str) -> str:
    return f"[{destination(chat)}] you: {text}"


def place(received: ReceivedMessage, account: ClientAccount, chat: int = 0) -> Destination:
    """The chat of a message, or the other user of its private chat."""
    if received.chat or chat:
        return Destination(received.chat or chat)
    return Destination(user=received.recipient if _is_own(received, account) else received.sender)


def destination(to: Destination) -> str:
    return f"chat {to.chat}" if to.chat else f"user {to.user}"


def chat(listed: ListedChat, names: Mapping[str, str]) -> str:
    members = ", ".join(names.get(member) or _id(member) for member in listed.members)
    return f"chat {listed.number}: {listed.name} (members: {members})"


def _is_own(received: ReceivedMessage, account: ClientAccount) -> bool:
    if received.sender_uuid and account.uuid:
        return received.sender_uuid == account.uuid
    return account.number != 0 and received.sender == account.number


def _sender(received: ReceivedMessage, names: Mapping[str, str]) -> str:
    """The sender's name and a colon; empty if the text or the place already names the sender."""
    if received.sender_uuid:
        return f"{names.get(received.sender_uuid) or received.sender_name or received.sender_uuid}: "
    return f"user {received.sender}: " if received.sender and received.chat else ""


def _media(received: ReceivedMedia) -> str:
    kind = "a picture" if received.is_picture else "a file"
    where = destination(Destination(received.chat, received.sender))
    return f"[{where}] user {received.sender}: {kind} of {received.size} bytes {received.url}".rstrip()


def _change(received: ReceivedChange) -> str:
    """Describes a change of a message. The text is empty if this version does not know the kind of change."""
    message, user = f"message {received.position}", f"user {received.user}"
    match received:
        case ReceivedChange(kind="edit", text=text):
            change = f"{message} is now: {text} (by {user})"
        case ReceivedChange(kind="recall"):
            change = f"{message} is recalled (by {user})"
        case ReceivedChange(kind="reaction", text=""):
            change = f"{message} has other reactions (by {user})"
        case ReceivedChange(kind="reaction", text=emoji, on=on):
            change = f"{user} reacts to {message}: {emoji}" if on else f"{user} takes {emoji} back from {message}"
        case ReceivedChange(kind="pin", on=on):
            change = f"{message} is {'pinned' if on else 'unpinned'} (by {user})"
        case _:
            return ""
    return f"[chat {received.chat}] {change}"


def _words(news: ReceivedNotification) -> str:
    return f" ({news.text})" if news.text else ""


def _id(member: str) -> str:
    """An OC number without its leading zeros. Any other identifier stays unchanged."""
    return member.lstrip("0") if member.isdecimal() else member
