"""`dragoman admin chat` shows a chat and its members."""

from collections.abc import Sequence

import click
import msgspec

from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, number_argument, prints
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads
from shared.contract.model import Chat, Role
from shared.contract.session import GetChat, GetMembership, GetProfileSummaries
from shared.contract.session import Member as Membership

_SUMMARIES_PER_REQUEST = 1_000


class ChatState(msgspec.Struct, frozen=True):
    """A chat with its number of current members and of messages."""

    chat: Chat
    members: int
    messages: int


class ChatMember(msgspec.Struct, frozen=True):
    """`first_index` is the first message that the member may see."""

    account: AccountId
    nickname: str
    role: str
    first_index: int


def _chat_text(found: ChatState) -> str:
    one = found.chat
    return format.record(
        ("chat", one.id),
        ("name", one.name),
        ("handle", one.handle and f"#{one.handle}"),
        ("kind", one.kind.value),
        ("joining", one.join_policy.value),
        ("owner", format.account(one.owner)),
        ("members", found.members),
        ("messages", found.messages),
        ("created", format.moment(one.created)),
        ("updated", format.moment(one.updated)),
    )


def _members_text(found: Sequence[ChatMember]) -> str:
    heads = ["ACCOUNT", "NICKNAME", "ROLE", "SEES FROM"]
    rows = ((format.account(one.account), one.nickname, one.role, one.first_index) for one in found)
    return format.table(heads, rows)


async def show(client: AdminClient, number: ChatId) -> ChatState:
    """Raises RequestError."""
    await client.record("show chat", detail=str(number))
    chat = await _get_chat(client, number)
    present = await _current_members(client, number)
    heads = (await client.send(GetHeads([number]))).heads
    return ChatState(chat, len(present), heads[number])


async def members(client: AdminClient, number: ChatId) -> list[ChatMember]:
    """The current members, by account number. Raises RequestError."""
    await client.record("list members", detail=str(number))
    await _get_chat(client, number)  # the request rejects an unknown chat and leaves an audit record
    present = await _current_members(client, number)
    nicknames: dict[AccountId, str] = {}
    for start in range(0, len(present), _SUMMARIES_PER_REQUEST):
        some = [one.account for one in present[start : start + _SUMMARIES_PER_REQUEST]]
        summaries = (await client.send(GetProfileSummaries(some))).faces
        nicknames |= {account: summary.nickname for account, summary in summaries.items()}
    return [
        ChatMember(one.account, nicknames.get(one.account, ""), one.role.name.lower(), one.first_index)
        for one in present
    ]


async def _get_chat(client: AdminClient, number: ChatId) -> Chat:
    """Gets a chat, with an error text for operators. Session's own error text is for users, and does not say whether
    the chat exists."""
    try:
        return (await client.send(GetChat(number, all=True))).chat
    except RequestError as error:
        if error.failure.code is ErrorCode.NOT_FOUND:
            raise RequestError(ErrorCode.NOT_FOUND, f"there is no chat {number}", "chat") from error
        raise


async def _current_members(client: AdminClient, number: ChatId) -> list[Membership]:
    """Reads all pages of members. A member that changes meanwhile may be on two pages; the later entry is used."""
    found: dict[AccountId, Membership] = {}
    cursor, more = (0, 0), True
    while more:
        page = await client.send(GetMembership(number, after=cursor))
        found |= {member.account: member for member in page.members}
        more = page.more
        cursor = (page.members[-1].version, page.members[-1].account) if page.members else cursor
    return sorted((one for one in found.values() if one.role is not Role.LEFT), key=lambda one: one.account)


@click.group()
def chat() -> None:
    """Chats: show, members."""


@chat.command("show")
@prints(_chat_text)
@number_argument
@json_option
async def chat_show(client: AdminClient, number: int) -> ChatState:
    """Show a chat by its number."""
    return await show(client, ChatId(number))


@chat.command("members")
@prints(_members_text)
@number_argument
@json_option
async def chat_members(client: AdminClient, number: int) -> list[ChatMember]:
    """List the members of a chat."""
    return await members(client, ChatId(number))
