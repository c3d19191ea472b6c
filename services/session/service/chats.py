"""Creates, reads and changes chats."""

from functools import partial

import msgspec

from services.session import domain, list_limits
from services.session.metrics import SessionMetrics
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import chats, views
from services.session.store.chats import ChangedChat, CreatedChat
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.edge import ChatCreated, ChatRenamed
from shared.contract.ephemeral import ChatSettingsChanged
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.contract.members import SetChat
from shared.contract.model import Chat
from shared.contract.receipts import FindReceiptChats, ReceiptChats
from shared.contract.routes import Ack
from shared.contract.session import (
    ChatList,
    ChatOpened,
    ChatsFound,
    ChatVersion,
    ChatView,
    ChatViews,
    CreateChat,
    FindHandle,
    GetChat,
    GetChats,
    GetMembership,
    HandleFound,
    ListChats,
    ListChatViews,
    MarkReadTime,
    MemberSettings,
    Membership,
    MuteChat,
    OpenPrivateChat,
    PlaceChat,
    ReadTime,
    RenameChat,
)
from shared.settings import Settings
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)

_CHATS_PAGE = 10_000
_LISTS = 256
_REASON_CHARACTERS = 300
_CHATS = 500
_MEMBERS_PAGE = 13_000
"""The most members in a reply. A member takes at most 38 bytes, so a full page stays below 512 KiB."""
_VIEWS_BYTES = 448 * 1024


class Chats:
    def __init__(
        self, database: Transactions, notifier: ChangeNotifier, metrics: SessionMetrics, settings: Settings
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._metrics = metrics
        self._limits = settings.limits
        self._language = settings.language
        self._server = settings.irc.name
        self._broadcast_members = settings.message.broadcast_members

    async def ensure_lobby(self) -> None:
        """Create the lobby of a new installation. Must run before the service accepts requests."""
        await self._database.write(chats.insert_lobby, now_ms())

    async def create_chat(self, request: CreateChat) -> ChatView:
        members = domain.new_group_members(request, self._limits)
        chat, event_numbers = await self._database.write(
            once(chats.create_group, CreatedChat), request, members, self._limits, now_ms(), self._language
        )
        self._metrics.chats.inc()
        created = ChatCreated(chat.id, request.actor, members, chat.version, chat.name, event_numbers)
        await self._notifier.publish({chat.id: chat.version}, [Notification(created, members)])
        return ChatView(chat, members[: self._limits.members_listed])

    async def find_handle(self, request: FindHandle) -> HandleFound:
        found = await self._database.read(chats.find_handle, request.handle)
        if found is None:
            raise domain.hidden_error(ErrorCode.NOT_FOUND)
        return HandleFound(found)

    async def open_private_chat(self, request: OpenPrivateChat) -> ChatOpened:
        if not request.alone or request.actor != request.account:
            domain.check_peer(request.actor, request.account)
        pair = domain.pair_of(request.actor, request.account)
        if (found := await self._database.read(chats.find_private, pair)) is not None:
            return ChatOpened(found, pair)
        number, chat = await self._database.write(chats.open_private, pair, request.actor, now_ms())
        if chat is not None:
            self._metrics.chats.inc()
            created = ChatCreated(number, request.actor, sorted({*pair}), chat.version)
            await self._notifier.publish({number: chat.version}, [Notification(created, created.members)])
        return ChatOpened(number, pair)

    async def get_chat(self, request: GetChat) -> ChatView:
        limit = self._limits.members_listed
        if request.members > 0:
            limit = min(request.members, limit)
        actor = None if request.all else request.actor
        view = await self._database.read(views.view_chat, request.chat, actor, limit)
        if request.all:
            _log.info("operator acts", act="show chat", by="admin", chat=request.chat)
        return view

    async def get_chats(self, request: GetChats) -> ChatsFound:
        list_limits.check_batch_size(request.chats, _CHATS, "chats")
        numbers = list_limits.in_int64(request.chats)
        return await self._database.read(views.find_chats, request.actor, numbers)

    async def list_chats(self, request: ListChats) -> ChatList:
        domain.check_account(request.account)
        list_limits.check_batch_size(request.also, _LISTS, "accounts")
        if request.states:
            states = views.list_chats_with_states
            return await self._database.read(
                partial(states, account=request.account, after=request.after, limit=_CHATS_PAGE)
            )
        page = partial(chats.list_chats, account=request.account, after=request.after, limit=_CHATS_PAGE)
        if not request.also:
            return await self._database.read(page, brief=True)
        others = list_limits.in_int64(request.also)
        return await self._database.read(chats.list_chats_with_others, page, others, _CHATS_PAGE, brief=True)

    async def list_chat_views(self, request: ListChatViews) -> ChatViews:
        """A page of views that fits into a NATS message. If a single chat is too large, only its first members are
        listed."""
        limit = self._limits.members_listed
        found = await self._database.read(views.list_chat_views, request.actor, request.after, limit)
        fitting = list_limits.take_fitting(found.chats, _VIEWS_BYTES)
        if found.chats and not fitting:
            first = found.chats[0]
            members = list(list_limits.take_fitting(first.members, _VIEWS_BYTES))
            fitting = [msgspec.structs.replace(first, members=members)]
        return ChatViews(list(fitting), more=found.more or len(fitting) < len(found.chats))

    async def get_membership(self, request: GetMembership) -> Membership:
        page = await self._database.read(chats.list_changes, request, _MEMBERS_PAGE, self._server)
        if request.unnamed:
            self._notifier.republish({request.chat: page.version})
        return page

    async def rename_chat(self, request: RenameChat) -> ChatVersion:
        return await self.set_chat(SetChat(request.chat, request.name, actor=request.actor))

    async def set_chat(self, request: SetChat) -> ChatVersion:
        """Change a group's settings and notify the members. New time limits hold for edits and recalls that are sent
        after the reply."""
        if not (values := domain.group_changes(request, self._limits)):
            return ChatVersion()
        changed = await self._database.write(
            once(chats.set_chat, ChangedChat), request.chat, request.actor, values, now_ms(), self._broadcast_members
        )
        event = _changes_of(changed.chat, request.actor, frozenset(values), request.reason[:_REASON_CHARACTERS])
        versions = {request.chat: changed.chat.version} if values.keys() & domain.MEMBER_LIST_FIELDS else {}
        await self._notifier.publish(versions, [Notification(event, changed.members)])
        return ChatVersion(changed.chat.version, changed.chat.topic_time if "topic" in values else 0)

    async def mute_chat(self, request: MuteChat) -> Ack:
        domain.check_end("until", request.until, now_ms())
        await self._database.write(views.mute_chat, request)
        return Ack()

    async def place_chat(self, request: PlaceChat) -> MemberSettings:
        return await self._database.write(views.place_chat, request)

    async def mark_read_time(self, request: MarkReadTime) -> ReadTime:
        domain.check_end("time", request.time, 0)
        request.time = min(request.time, now_ms() + domain.LATE_MS)  # later messages are not read yet
        return await self._database.write(views.mark_read_time, request)

    async def find_receipt_chats(self, request: FindReceiptChats) -> ReceiptChats:
        list_limits.check_batch_size(request.chats, _CHATS, "chats")
        return ReceiptChats(await self._database.read(views.find_receipt_chats, list_limits.in_int64(request.chats)))


def _changes_of(chat: Chat, by: AccountId, columns: frozenset[str], reason: str = "") -> ChatRenamed:
    """The event by which the members of a group learn that its `columns` have changed."""
    settings = ChatSettingsChanged(
        chat.id,
        by,
        chat.avatar,
        chat.avatar_hash,
        chat.topic,
        chat.join_policy,
        chat.receipts,
        chat.edit_seconds,
        chat.recall_seconds,
        chat.history_for_new,
        chat.handle,
        reason=reason,
        topic_time=chat.topic_time if "topic" in columns else 0,
    )
    return ChatRenamed(chat.id, chat.name, by, "name" in columns, settings if columns - {"name"} else None)
