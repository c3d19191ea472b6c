"""Makes a client's request for a canonical command. With it, the vectors of the dialects can test the client library's
codecs.

A *canonical* command is a command in the form that is the same for all dialects.
"""

from typing import Any

from msgspec.structs import replace

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination
from services.edge.canonical.commands import (
    Command,
    CreateChatByUuid,
    EditMessage,
    FetchUnread,
    MarkChatRead,
    PostMessage,
    ReadHistory,
    ResumeChats,
)
from shared.contract.auth import IdentifierKind, Login, Register
from shared.contract.contacts import SetBlocked
from shared.contract.members import AddMember, AnswerMembership, RequestMembership
from shared.contract.message import ChangeMessage, GetHistory, React, RecallText
from shared.contract.model import Text
from shared.contract.search import SearchMessages
from shared.contract.session import CreateChat, GetAccount, GetChat, ListChatViews

_NO_IDENTIFIERS = ("0", "")


def request_of(codec: Codec, command: Command, account: ClientAccount) -> ClientRequest | None:
    """Returns the library's request for a command.

    Returns None if there is none, or if none expresses the whole command.
    """
    match command:
        case Register():
            return codec.register(_registration(command))
        case Login(refreshable=False) if command.identifier not in _NO_IDENTIFIERS:
            return codec.login(_login(codec, command))
        case PostMessage(segments=(Text(text),), reply_to=index) if index:
            return codec.reply(command.chat, index, text)
        case PostMessage(segments=(Text(text),), draft=0, mark=""):
            return codec.post(account, Destination(command.chat, command.to), text)
        case CreateChat() | CreateChatByUuid():
            return _creation(codec, command, account)
        case RequestMembership(chat=chat):
            return codec.join(account, chat)
        case AnswerMembership(chat=chat, applicant=user, accept=True) | AddMember(chat=chat, account=user):
            return codec.accept(account, chat, ClientAccount(number=user))
        case EditMessage() | ChangeMessage():
            return _change(codec, command)
        case SetBlocked(account=user, blocked=on):
            return codec.block(ClientAccount(number=user), on=on)
        case MarkChatRead(chat=chat, index=index, counts=counts):
            return codec.read(chat, index, counts=counts)
        case FetchUnread(None):
            (request,) = codec.after_login(account)
            return request
    return _listing(codec, command, account)


def _change(codec: Codec, command: EditMessage | ChangeMessage) -> ClientRequest | None:
    chat, index = command.chat, command.index
    if isinstance(command, EditMessage):
        match command.segments:
            case (Text(text),) if command.if_rev is None:
                return codec.edit(chat, index, text)
        return None
    match command.change:
        case RecallText(reason=""):
            return codec.recall(chat, index)
        case React(emoji, on):
            return codec.react(chat, index, emoji, on=on)
    return None


def _registration(command: Register) -> ClientAccount:
    name = command.username or command.nickname
    return ClientAccount(name, command.secret.value, email=command.email, uuid=command.uuid)


def _login(codec: Codec, command: Login) -> ClientAccount:
    account = ClientAccount(secret=command.secret.value)
    match command.kind:
        case IdentifierKind.ID:
            account.number = int(command.identifier)
        case IdentifierKind.EMAIL:
            account.email = command.identifier
        case IdentifierKind.UUID:
            account.uuid = command.identifier
        case _:
            account.name = command.identifier
    return account


def _creation(codec: Codec, command: CreateChat | CreateChatByUuid, account: ClientAccount) -> ClientRequest | None:
    if isinstance(command, CreateChat):
        if command.avatar:
            return None
        return codec.create_group(account, command.name, [ClientAccount(number=one) for one in command.members])
    members = [ClientAccount(uuid=one) for one in command.uuids]
    if not command.private:
        return codec.create_group(account, command.name, members)
    opened = codec.open_private(account, *members)
    assert isinstance(opened, ClientRequest)
    return opened


def _listing(codec: Codec, command: Command, account: ClientAccount) -> ClientRequest | None:
    match command:
        case SearchMessages(chat=0, place=None, context=0):
            return codec.search(command.query, command.count, command.zone)
        case ListChatViews() | ResumeChats(timeline=0):
            return codec.list_chats(account)
        case GetAccount(account=account.number, lists=True) if codec.dialect == "ourchat-v2":
            return codec.list_chats(account)
        case GetChat(chat=chat):
            return codec.describe_chat(account, chat)
        case GetHistory(older=True) | ReadHistory(older=True):
            return codec.history(account, command.chat, command.count, command.start)
        case GetHistory(older=False) | ReadHistory(older=False):
            return codec.missed(account, command.chat, command.start - 1)[-1]
    return None


def sent(command: Command) -> Any:
    """Returns the parts of a command that the library sends.

    It omits optional parts of a registration or of a request to join, the length of a page, and a nonce.
    """
    match command:
        case Register():
            return (command.secret, command.email, command.username, command.uuid)
        case RequestMembership():
            return ("join", command.chat)
        case GetHistory(older=False) | ReadHistory(older=False):
            return (command.chat, command.start)
        case PostMessage() | CreateChat():
            return replace(command, nonce="")
        case EditMessage():
            return (command.chat, command.index, command.segments, command.if_rev)
    return command
