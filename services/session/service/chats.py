"""Chats: made, shown, renamed."""

from functools import partial

import msgspec

from services.session import domain
from services.session.adapters.edge_notifier import Notices, Told
from services.session.metrics import Metrics
from services.session.store import chats, views
from shared.contract.edge import ChatCreated, ChatRenamed
from shared.contract.session import (
    Ack,
    ChatList,
    ChatOpened,
    ChatView,
    ChatViews,
    CreateChat,
    GetChat,
    GetMembership,
    ListChats,
    ListChatViews,
    Membership,
    OpenPrivateChat,
    RenameChat,
)
from shared.database import Database, now_ms
from shared.settings import Settings
from shared.telemetry import log

_log = log(__name__)

_CHATS_PAGE = 10_000
_LISTS = 256
_MEMBERS_PAGE = 13_000
"""Rows of 38 bytes at most: a full page stays below 512 KiB."""
_VIEWS_BYTES = 448 * 1024


class Chats:
    def __init__(self, database: Database, notices: Notices, metrics: Metrics, settings: Settings) -> None:
        self._database = database
        self._notices = notices
        self._metrics = metrics
        self._limits = settings.limits
        self._many = settings.message.broadcast_members

    async def open_lobby(self) -> None:
        """Every installation has it, before anything else happens."""
        await self._database.write(partial(chats.add_lobby, now=now_ms()))

    async def create_chat(self, request: CreateChat) -> ChatView:
        members = domain.new_chat(request, self._limits)
        make = partial(chats.add_chat, request=request, members=members, limits=self._limits, now=now_ms())
        chat, kept = await self._database.write(make)
        self._metrics.chats.inc()
        created = ChatCreated(chat.id, request.actor, members, chat.version, chat.name, kept)
        await self._notices.announce({chat.id: chat.version}, [Told(created, members)])
        return ChatView(chat, members[: self._limits.members_listed])

    async def open_private_chat(self, request: OpenPrivateChat) -> ChatOpened:
        domain.check_other(request.actor, request.account)
        pair = domain.pair_of(request.actor, request.account)
        if (found := await self._database.read(partial(chats.find_private, pair=pair))) is not None:
            return ChatOpened(found, pair)
        number, made = await self._database.write(partial(chats.open_private, pair=pair, now=now_ms()))
        if made is not None:
            self._metrics.chats.inc()
            created = ChatCreated(number, request.actor, list(pair), made.version)
            await self._notices.announce({number: made.version}, [Told(created, pair)])
        return ChatOpened(number, pair)

    async def get_chat(self, request: GetChat) -> ChatView:
        domain.check_chat(request.chat)
        most = self._limits.members_listed
        actor = None if request.all else request.actor
        found = await self._database.read(partial(chats.view_chat, number=request.chat, actor=actor, most=most))
        if request.all:
            _log.info("operator acts", act="show chat", by="admin", chat=request.chat)
        return found

    async def list_chats(self, request: ListChats) -> ChatList:
        domain.check_account(request.account)
        domain.check_many(request.also, _LISTS, "accounts")
        page = partial(chats.list_chats, account=request.account, after=request.after, most=_CHATS_PAGE)
        if not request.also:
            return await self._database.read(page, brief=True)
        several = partial(chats.list_several, page=page, others=domain.storable(request.also), most=_CHATS_PAGE)
        return await self._database.read(several, brief=True)

    async def list_chat_views(self, request: ListChatViews) -> ChatViews:
        """A chat whose members alone are too much for the bus is shown with the first of them."""
        domain.check_actor(request.actor)
        most = self._limits.members_listed
        page = partial(views.chat_views, account=request.actor, after=request.after, most=most)
        found = await self._database.read(page)
        fit = domain.fitting(found.chats, _VIEWS_BYTES)
        if found.chats and not fit:
            first = found.chats[0]
            fit = [msgspec.structs.replace(first, members=list(domain.fitting(first.members, _VIEWS_BYTES)))]
        return ChatViews(list(fit), more=found.more or len(fit) < len(found.chats))

    async def get_membership(self, request: GetMembership) -> Membership:
        domain.check_chat(request.chat)
        page = await self._database.read(partial(chats.membership, request=request, most=_MEMBERS_PAGE))
        if request.unnamed:
            self._notices.remind({request.chat: page.version})
        return page

    async def rename_chat(self, request: RenameChat) -> Ack:
        name = domain.new_name(request, self._limits)
        rename = partial(chats.rename, asked=request, now=now_ms(), many=self._many)
        members = await self._database.write(rename)
        await self._notices.announce({}, [Told(ChatRenamed(request.chat, name, request.actor), members)])
        return Ack()
