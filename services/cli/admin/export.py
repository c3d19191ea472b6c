"""`dragoman admin export`: all stored data of one account except its secrets, for a user's request for their data."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import msgspec

from local.credentials import write_private
from local.installation import Installation
from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import account_argument, on_installation, with_client
from shared.clock import now_ms
from shared.contract.admin import Act, ListOwnReports, OwnReport, SearchTrail, UserView
from shared.contract.auth import ListLogins, LoginView
from shared.contract.body import unpack_segments
from shared.contract.bots import BotView
from shared.contract.contacts import ListRequests, Requests
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import MadeHook, MadeLink
from shared.contract.message import GetHistory
from shared.contract.model import Chat, Emoji, File, Image, Message, Profile, Recalled, Segment, Text
from shared.contract.session import GetAccount, GetChat, ListChats
from shared.contract.subjects import LIST_USER_LOGINS

_PAGE = 200


class SentMessage(msgspec.Struct, frozen=True):
    """A message that the account sent. `time`: Unix milliseconds; `content`: its segments."""

    index: int
    time: int
    content: list[dict[str, Any]]


class ChatExport(msgspec.Struct, frozen=True):
    chat: Chat
    sent: list[SentMessage] = msgspec.field(name="said")


class Export(msgspec.Struct, frozen=True):
    """`exported`: Unix milliseconds; `requests`: those that the account has not answered; `reports`: its open ones, of
    messages; `hooks`, `links`, `bots`: those that it has made."""

    exported: int
    account: UserView
    profile: Profile
    friends: list[AccountId]
    requests: Requests
    chats: list[ChatExport]
    logins: list[LoginView]
    trail: list[Act]
    reports: list[OwnReport]
    hooks: list[MadeHook]
    links: list[MadeLink]
    bots: list[BotView]


async def export(client: AdminClient, user: UserView) -> Export:
    """Raises RequestError."""
    account = user.account
    await client.record("export", account)
    view = await client.request(GetAccount.route, GetAccount(account, lists=True, actor=account, left=True))
    requests = await client.request(ListRequests.route, ListRequests(account))
    numbers = [*await _chats(client, account), *(view.left or ())]
    chats = [await _chat(client, number, account) for number in numbers]
    logins = (await client.request(LIST_USER_LOGINS, ListLogins(account))).logins
    acts = [act async for act in search_trail(client, SearchTrail(account))]
    reports = (await client.request(ListOwnReports.route, ListOwnReports(account))).reports
    made = await users.made(client, user)
    place = now_ms(), user, view.profile, view.friends or [], requests, chats
    return Export(*place, logins, acts, reports, made.hooks, made.links, made.bots)


async def search_trail(client: AdminClient, wanted: SearchTrail) -> AsyncIterator[Act]:
    """All pages, newest first. Raises RequestError."""
    more = True
    while more:
        page = await client.request(SearchTrail.route, wanted)
        for act in page.acts:
            yield act
            wanted.before = act.number
        more = page.more


async def _chats(client: AdminClient, account: AccountId) -> list[ChatId]:
    numbers: list[ChatId] = []
    more = True
    while more:
        page = await client.request(ListChats.route, ListChats(account, numbers[-1] if numbers else ChatId(0)))
        numbers += [entry.chat for entry in page.entries]
        more = page.more
    return numbers


async def _chat(client: AdminClient, number: ChatId, account: AccountId) -> ChatExport:
    """The chat with the account's own messages; messages of other members are their data."""
    chat = (await client.request(GetChat.route, GetChat(number, all=True))).chat
    sent: list[SentMessage] = []
    start, head = 1, 1
    while start <= head:
        request = GetHistory(number, start, _PAGE, older=False, all=True)
        page = await client.request(GetHistory.route, request)
        sent += [_sent_message(message) for message in page.messages if message.sender == account]
        head = page.head
        start = page.messages[-1].index + 1 if page.messages else head + 1
    return ChatExport(chat, sent)


def _sent_message(message: Message) -> SentMessage:
    return SentMessage(message.index, message.time, content_of(message.body))


def content_of(body: bytes) -> list[dict[str, Any]]:
    """Of a message, as the operator's commands print it. Of each segment, one member: its kind, and what it holds."""
    return [_part(segment) for segment in unpack_segments(body)]


def _part(segment: Segment) -> dict[str, Any]:
    match segment:
        case Text():
            return {"text": segment.text}
        case Emoji():
            return {"emoji": segment.emoji_id}
        case Image() | File():
            kind = "image" if isinstance(segment, Image) else "file"
            return {kind: msgspec.structs.asdict(segment.media)}
        case Recalled():
            return {"recalled": True}


@click.command("export")
@on_installation
@account_argument
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not the terminal.")
def export_account(installation: Installation, account: str, output: Path | None) -> None:
    """Print all stored data of an account except its secrets, as JSON."""

    async def work(client: AdminClient) -> Export:
        return await export(client, await users.find(client, account))

    text = format.json(with_client(installation, work))
    if output is None:
        return click.echo(text)
    try:
        write_private(output, f"{text}\n".encode())
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"written to {output}")
