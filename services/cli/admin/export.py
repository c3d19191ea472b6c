"""`dragoman admin user export`: all stored data of one account except its secrets, for a user who requests this
data."""

from pathlib import Path
from typing import Any

import click
import msgspec

from local.atomic_file import write_output
from local.options import FilePath
from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.trail import search_trail
from shared.clock import now_ms
from shared.contract.admin import Act, ListOwnReports, OwnReport, SearchTrail, UserView
from shared.contract.auth import ListLogins, LoginView
from shared.contract.bots import BotView
from shared.contract.contacts import ListRequests, Requests
from shared.contract.drafts import GetDraft, SavedDraft
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import MadeLink, MadeWebhook
from shared.contract.message import GetHistory, ListDevices
from shared.contract.metadata import ListMetadata, MetadataValue
from shared.contract.model import Chat, ChatKind, Message, Profile
from shared.contract.own_settings import GetOwnSettings, OwnSettings
from shared.contract.push import ListSubscriptions, SubscriptionView
from shared.contract.session import GetAccount, GetChat, ListChats
from shared.contract.subjects import LIST_USER_LOGINS
from shared.irc_names import channel_name, message_id, nick_of

_PAGE = 200


class SentMessage(msgspec.Struct, frozen=True):
    """A message that the account sent. `msgid`: its id on IRC. `time`: Unix milliseconds; `content`: its segments."""

    index: int
    msgid: str
    time: int
    content: list[dict[str, Any]]


class ChatExport(msgspec.Struct, frozen=True):
    """The account's data in one chat. The chat is without its key, which the account may not know any more. `channel`:
    the name of a group on IRC; empty for a private chat. `draft`: a text that the account has written but not sent. If
    its `rev` is 0, there is no draft."""

    chat: Chat
    channel: str
    draft: SavedDraft
    sent: list[SentMessage] = msgspec.field(name="said")


class Export(msgspec.Struct, frozen=True):
    """All stored data of an account. `exported`: Unix milliseconds. `nick`: the account's name on IRC. `requests`:
    requests that the account has not answered. `reports`: the account's open reports of messages. `hooks`, `links`,
    `bots`: what the account has made. `settings`: the settings that the account has for itself. `subscriptions`: the
    account's notified devices. `metadata`: the account's texts on IRC. `devices`: the names of
    devices that get their own missed messages."""

    exported: int
    account: UserView
    profile: Profile
    nick: str
    friends: list[AccountId]
    requests: Requests
    chats: list[ChatExport]
    logins: list[LoginView]
    trail: list[Act]
    reports: list[OwnReport]
    hooks: list[MadeWebhook]
    links: list[MadeLink]
    bots: list[BotView]
    settings: OwnSettings
    subscriptions: list[SubscriptionView]
    metadata: list[MetadataValue]
    devices: list[str]


async def export(client: AdminClient, user: UserView) -> Export:
    """Raises RequestError."""
    account = user.account
    await client.record("export", account)
    view = await client.send(GetAccount(account, lists=True, actor=account, left=True))
    requests = await client.send(ListRequests(actor=account))
    numbers = [*await _chats(client, account), *(view.left or ())]
    chats = [await _chat(client, number, account) for number in numbers]
    logins = (await client.request(LIST_USER_LOGINS, ListLogins(account))).logins
    acts = [act async for act in search_trail(client, SearchTrail(account))]
    reports = (await client.send(ListOwnReports(account))).reports
    made = await users.made(client, user)
    settings = await client.request(GetOwnSettings.route, GetOwnSettings(actor=account))
    subscriptions = (await client.send(ListSubscriptions(actor=account))).subscriptions
    metadata = (await client.send(ListMetadata(account, actor=account))).values
    devices = (await client.send(ListDevices(account))).names
    profile = view.profile
    nick = profile.nick or nick_of(account, profile.nickname)
    place = now_ms(), user, profile, nick, view.friends or [], requests, chats
    of_account = made.hooks, made.links, made.bots, settings, subscriptions, metadata, devices
    return Export(*place, logins, acts, reports, *of_account)


async def _chats(client: AdminClient, account: AccountId) -> list[ChatId]:
    numbers: list[ChatId] = []
    more = True
    while more:
        page = await client.send(ListChats(account, numbers[-1] if numbers else ChatId(0)))
        numbers += [entry.chat for entry in page.entries]
        more = page.more
    return numbers


async def _chat(client: AdminClient, number: ChatId, account: AccountId) -> ChatExport:
    """A chat with the messages that the account has sent. Messages of other members are the data of those members, and
    are left out."""
    chat = (await client.send(GetChat(number, all=True))).chat
    sent: list[SentMessage] = []
    start, head = 1, 1
    while start <= head:
        request = GetHistory(number, start, _PAGE, older=False, all=True)
        page = await client.send(request)
        sent += [_sent_message(message) for message in page.messages if message.sender == account]
        head = page.head
        start = page.messages[-1].index + 1 if page.messages else head + 1
    channel = channel_name(chat.id, chat.handle, chat.name) if chat.kind is ChatKind.GROUP else ""
    draft = await client.request(GetDraft.route, GetDraft(number, actor=account))
    return ChatExport(msgspec.structs.replace(chat, join_key=""), channel, draft, sent)


def _sent_message(message: Message) -> SentMessage:
    msgid = message_id(message.chat, message.index)
    return SentMessage(message.index, msgid, message.time, format.content(message.body))


@click.command("export", epilog="Example: dragoman admin user export ann@example.org --output ann.json")
@users.on_confirmed_account("Disclose all data of")
@click.option("--output", type=FilePath(dir_okay=False), help="Write to this file, not the terminal.")
async def export_account(client: AdminClient, found: UserView, output: Path | None) -> None:
    """Print all stored data of an account, as JSON.

    The account's secrets are not among them.
    """
    text = format.json(await export(client, found))
    if output is None:
        return click.echo(text)
    write_output(output, f"{text}\n".encode())
    click.echo(f"written to {output}")
