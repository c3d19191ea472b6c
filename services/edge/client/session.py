"""The login of one client. It has the account on this node, with its missed messages, uploads and delivered
messages."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.events import Event
from services.edge.catchup.login_device import LoginDevice
from services.edge.catchup.missed import MissedMessages, MissedReader, ReadingClient
from services.edge.client.connection import Connection, PendingVerification
from services.edge.client.media_sender import MediaTransfers
from services.edge.client.outbox import ClientOutbox
from services.edge.client.uploads import UploadSlots
from services.edge.confirmations.read_state import Ranges, ReadStateFlusher
from services.edge.context import EdgeContext
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.base import Dialect, Request
from services.edge.ephemeral.events import OwnEvents
from services.edge.journal import MessageJournal
from services.edge.media import MediaService
from services.edge.presence.guests import LocalGuests
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts, Recipient
from shared.contract.auth import Authenticated, Revocation
from shared.contract.drafts import SavedDraft
from shared.contract.ephemeral import ReadPlace
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.model import MemberPair, Message, ProfileSummary
from shared.tokens import Claims

_OTHER_LOGIN = "another registration or login has begun on this connection"
ReadMissed = Callable[[], Awaitable[None]]


class CatchUp:
    """Reads the missed messages of one client, from before the login is answered until all messages are read. If there
    is something to read, `start_reading` and `chat_discovered` return the function that reads it. The client calls this
    function in a task, and stores the task in `reading`."""

    __slots__ = ("_chats", "_reader", "client", "device", "fetched", "missed", "reading")

    def __init__(self, reader: MissedReader, chats: LocalChats) -> None:
        self._reader = reader
        self._chats = chats
        self.client: ReadingClient
        """The client sets this before `begin`."""
        self.device = LoginDevice()
        self.missed: MissedMessages | None = None
        """How far the missed messages are read. This is kept until the last index of each chat on this node has
        passed the last index that was read. If it is None, every message is live."""
        self.reading: asyncio.Task[None] | None = None
        self.fetched: Ranges = {}
        """The unread messages that the client has fetched since the login. Not all may have arrived yet."""

    async def begin(self, account: LocalAccount, dialect: Dialect, other_nodes: Collection[NodeId]) -> None:
        """Begin to read, before a login is answered."""
        self.missed = self._messages(account, dialect, complete=False)
        await self.missed.begin(other_nodes)

    def _messages(self, account: LocalAccount, dialect: Dialect, *, complete: bool) -> MissedMessages:
        return MissedMessages(
            self._reader, self._chats, account, self.device, dialect, self.client, complete=complete
        )  # fmt: skip

    def start_reading(self) -> ReadMissed | None:
        """Read the missed messages, after a login is answered."""
        if self.missed is None or self.reading is not None:
            return None
        return self.missed.read_all

    def chat_discovered(self, account: LocalAccount, dialect: Dialect, chat: ChatId, fresh: int) -> ReadMissed | None:
        """See services.edge.presence.local_accounts.Recipient.catch_up."""
        if self.missed is None:
            self.missed = self._messages(account, dialect, complete=True)
        self.missed.chat_discovered(chat, fresh)
        if self.missed.complete and (self.reading is None or self.reading.done()):
            return self.missed.read_discovered
        return None

    @property
    def awaits_answer(self) -> bool:
        """Whether the account has entered, but its login is not answered yet."""
        return self.missed is not None and self.reading is None

    def contains(self, message: Message) -> bool:
        """Whether the message is shown, or has been shown, as a missed message."""
        if self.missed is None:
            return False
        contained = self.missed.contains(message)
        if self.missed.is_finished:
            self.missed = None
        return contained

    def awaits(self, chat: ChatId) -> bool:
        """Whether messages of this chat remain to be read."""
        return self.missed is not None and self.missed.awaits(chat)

    def unpushed_to(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """For each chat, the index up to which no messages are pushed, because the client requests them."""
        return self.missed.unpushed_to(chats) if self.missed is not None else {}

    def mark_sent(self, chat: ChatId, index: int) -> None:
        """Note that the client has received this message as a reply."""
        if self.missed is not None:
            self.missed.mark_sent(chat, index)

    def cancel(self) -> None:
        self.missed = None
        self.fetched = {}
        if self.reading is not None:
            self.reading.cancel()
            self.reading = None


@dataclass(frozen=True)
class LocalServices:
    """The objects of the node that a client with a login uses."""

    accounts: LocalAccounts
    chats: LocalChats
    read_state: ReadStateFlusher
    missed_reader: MissedReader
    transfers: MediaTransfers
    journal: MessageJournal
    own: OwnEvents
    guests: LocalGuests


class LoginSession:
    """The login of a connection. It lasts as long as the connection, which may log in, log out and log in again.
    `recipient` is the client."""

    __slots__ = (
        "_account", "_context", "_out", "_recipient", "_services", "_uploads", "catch_up", "connection", "deferred",
        "is_void", "pushed", "pushes_since", "replies_first",
    )  # fmt: skip

    def __init__(
        self,
        context: EdgeContext,
        services: LocalServices,
        recipient: Recipient,
        connection: Connection,
        out: ClientOutbox,
    ) -> None:
        self._context = context
        self._services = services
        self._recipient = recipient
        self._out = out
        self._account: LocalAccount | None = None
        self._uploads: UploadSlots | None = None
        self.connection = connection
        self.catch_up = CatchUp(services.missed_reader, services.chats)
        self.deferred: list[Event] | None = None
        """Chats that appear while a request is handled, and all events of the account during its login. They are pushed
        after the reply, because the reply may be about these chats, and is the first frame of the account."""
        self.pushed: list[Event] | None = None
        """The events that were pushed while the pending requests are listed after a login."""
        self.replies_first = False
        """Whether the request may make the login invalid. If so, the request is answered before the login ends."""
        self.is_void = False
        """Whether the login has become invalid meanwhile."""
        self.pushes_since = 0.0
        """The client itself requests messages that are older than this time, unless the dialect pushes missed messages.
        The time is Unix milliseconds on the clock that stamps messages."""

    @property
    def dialect(self) -> Dialect:
        return self._out.dialect

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is sent or received. The socket itself may not have ended yet."""
        return self._out.is_closed

    @property
    def recipient(self) -> Recipient:
        return self._recipient

    def notify(self, event: Event) -> None:
        self._recipient.notify(event)

    @property
    def uploads(self) -> UploadSlots:
        if self._uploads is None:
            self._uploads = UploadSlots(self._services.transfers.media)
        return self._uploads

    @property
    def has_uploads(self) -> bool:
        """Whether an upload is unfinished."""
        return bool(self._uploads)

    def abandoned_uploads(self, now: float, seconds: float) -> list[Request]:
        """The StartUpload requests whose uploads have been idle for more than `seconds`."""
        return self._uploads.abandoned(now, seconds) if self._uploads is not None else []

    def discard_files(self, rejected: Iterable[Request]) -> None:
        """Remove the files that were stored for these messages, which will never be committed."""
        for request in rejected:
            if isinstance(request.command, PostMessage) and request.command.stored:
                media = self._services.transfers.media
                self._context.tasks.start(_discard(media, request.command.stored), "discard")

    # Login and logout

    async def log_in(
        self,
        answer: Authenticated,
        other_nodes: Collection[NodeId],
        summary: ProfileSummary | None,
        claims: Claims | None = None,
    ) -> None:
        """Log in, and log out of the previous account before. From this call on, the client receives the messages of
        the new account. The account's missed messages are requested now, and read once the login is answered.
        `other_nodes`: the other nodes that the account is on. `claims`: see Connection.logged_in."""
        self.log_out()
        self.reject_unverified(_OTHER_LOGIN)
        now = self._context.clock()
        self._account = account = self._services.accounts.attach(answer.account, self._recipient, now)
        account.summary = summary or account.summary
        if answer.guest or (account.summary is not None and account.summary.guest):
            self._services.guests.began(answer.account, account.summary, elsewhere=bool(other_nodes))
        self.pushes_since = self._services.chats.message_clock.latest() * 1000
        self.connection.logged_in(answer, account.requests, claims)
        dialect = self.dialect
        dialect.scopes = self.connection.scopes
        dialect.logged_in(answer.account, now)
        self._out.reschedule_wake()
        self.catch_up.device = LoginDevice("" if self.is_guest else dialect.device)
        if dialect.receives_pushes:
            await self.catch_up.begin(account, dialect, other_nodes)

    def hold(self, pending: PendingVerification) -> None:
        """Hold a registration or login until its mailed link is opened. A connection holds only the last one, so the
        request for the mail need not name it."""
        self.reject_unverified(_OTHER_LOGIN)
        self.connection.pending_verification = pending

    def reject_unverified(self, text: str) -> None:
        """Stop holding a registration or login, if there is one. Its link then completes only a later attempt."""
        pending, self.connection.pending_verification = self.connection.pending_verification, None
        if pending is not None and self.dialect.rejects_unverified:
            self._out.reply_error(pending.request, Failure(ErrorCode.FORBIDDEN, text, reason=Reason.NOT_VERIFIED))

    @property
    def is_guest(self) -> bool:
        return self.connection.account in self._services.guests

    async def is_last_of_guest(self) -> bool:
        return await self._services.guests.is_last(self.connection.account)

    def deleted(self) -> None:
        """Note that the account is deleted. The connection stays open."""
        self._services.guests.ended(self.connection.account)
        self.log_out()

    def guest_registered(self, answer: Authenticated) -> None:
        """Note that the guest has registered. The connection and its chats stay."""
        self._services.guests.ended(answer.account)
        self.connection.login_replaced(answer)

    def log_out(self) -> None:
        """Leave the account. The connection stays open."""
        if self._account is not None:
            self.leave()
            if self.deferred is not None:
                self.deferred.clear()
            self.connection.logged_out()
            self.dialect.scopes = None
            self.dialect.logged_in(NO_ACCOUNT, self._context.clock())
            self._out.reschedule_wake()

    def leave(self) -> None:
        """Stop delivering the account's messages to this client."""
        account = self._account
        if account is None:
            return
        self.catch_up.cancel()
        if self._uploads is not None:
            self._uploads.drop_all()
        self.mark_delivered(self._out.end_pushes())
        self._account = None
        self._out.record = None
        if self._services.accounts.detach(account, self._recipient):
            self._services.chats.account_detached(account)
        self._services.guests.left(account.account, self._recipient.number)

    def revoked(self, revocation: Revocation) -> bool:
        """Whether the connection must be closed now. If it stays open, the client's token must be verified again."""
        self.connection.token = ""
        if not self.connection.is_ended_by(revocation):
            return False
        self.is_void = self.replies_first
        return not self.replies_first

    # Messages

    def summary(self) -> ProfileSummary | None:
        """The account's profile summary, which is sent with its messages. It is refreshed soon."""
        self._services.accounts.stale_profiles.add(self.connection.account)
        return self._account.summary if self._account is not None else None

    def discover(self, chat: ChatId, fresh: int) -> ReadMissed | None:
        """Return the function that reads messages of this chat that were not delivered. See Recipient.catch_up."""
        if self._account is None or self.is_closing or not self.dialect.receives_pushes:
            return None
        return self.catch_up.chat_discovered(self._account, self.dialect, chat, fresh)

    def mark_delivered(self, ranges: Ranges) -> None:
        if self._account is not None:
            device = self.catch_up.device.number
            self._services.read_state.mark_delivered(self._account.account, ranges, device)
            self._services.journal.confirmed(self._account.account, self.dialect.name, ranges)
            if self.dialect.delivery_reads:
                self._mark_read(self._account.account, ranges)

    def _mark_read(self, account: AccountId, ranges: Ranges) -> None:
        for chat, spans in ranges.items():
            last = max(high for _, high in spans)
            self._services.read_state.mark_read(ReadPlace(account, chat, last, self.connection.number))

    def mark_posted(self, sender: AccountId, chat: ChatId, indexes: list[int], seconds: float) -> None:
        """Note that the client gets these messages of its own as replies. These messages and all earlier ones count as
        read, even after the account has left. `seconds`: the time since the first of their frames arrived."""
        if (dialect := self.connection.dialect) is not None:
            self._services.journal.acknowledged(sender, dialect.name, chat, indexes, seconds)
        self._services.read_state.mark_posted(sender, chat, indexes, self.connection.number)
        for index in indexes:
            self.catch_up.mark_sent(chat, index)
            if self._out.record is not None:
                self._out.record.add(chat, index)

    def draft_sent(self, sender: AccountId, chat: ChatId, rev: int) -> None:
        """Notify the account's other connections that the draft is gone, because it was sent and its message is
        committed."""
        own, number = self._services.own, self.connection.number
        self._context.tasks.start(own.draft_changed(sender, chat, SavedDraft(rev), number), "draft sent")

    def expect(self, message: Message, callback: Callable[[], None]) -> None:
        """Call `callback` when all earlier messages of the chat have been delivered on this node."""
        self._services.chats.expect(message.sender, message.chat, message.index, callback)

    def pair(self, chat: ChatId) -> MemberPair | None:
        """The members of a private chat. None for a group, or if this node does not know them."""
        sequencer = self._services.chats.sequencer(chat)
        return sequencer.pair if sequencer else None


async def _discard(media: MediaService, id: str) -> None:
    """Remove a file that no message shows. If the store fails, the file stays, but its address is unknown to all
    clients."""
    with suppress(RequestError):
        await media.discard(id)
