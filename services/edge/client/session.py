"""The login of one client: its account on this node, what it missed, its uploads, and what has arrived at it."""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.events import ChatJoined, Event
from services.edge.catchup.backlog import Steps
from services.edge.catchup.catch_up import CatchUp
from services.edge.catchup.reader import BacklogReader
from services.edge.client.connection import Connection
from services.edge.client.media_sender import MediaTransfers
from services.edge.client.outbox import ClientOutbox
from services.edge.client.uploads import UploadSlots
from services.edge.context import EdgeContext
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.base import Dialect, Request
from services.edge.journal import MessageJournal
from services.edge.media import MediaService
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts, Recipient
from services.edge.receipts.read_state import Ranges, ReadStateFlusher
from shared.contract.auth import Authenticated, Revocation
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.model import MemberPair, Message, ProfileSummary
from shared.tokens import Claims


@dataclass(frozen=True)
class LocalServices:
    """The parts of the node that a logged-in client uses."""

    accounts: LocalAccounts
    chats: LocalChats
    read_state: ReadStateFlusher
    backlogs: BacklogReader
    transfers: MediaTransfers
    journal: MessageJournal


class LoginSession:
    """Lasts as long as the connection, which may log in, log out and log in again. `recipient` is the client."""

    __slots__ = (
        "_account", "_context", "_out", "_recipient", "_services", "_uploads", "catch_up", "connection", "deferred",
        "is_void", "pushes_since", "replies_first",
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
        self.catch_up = CatchUp(services.backlogs, services.chats)
        self.deferred: list[ChatJoined] | None = None
        """During a request: chats that appear are pushed after its reply, which may be about them."""
        self.replies_first = False
        """The request being handled may void the login, and is answered before the login ends."""
        self.is_void = False
        """The login was voided meanwhile."""
        self.pushes_since = 0.0
        """The client requests messages from before this time by itself, unless its dialect pushes them. Unix
        milliseconds by the clock of messages."""

    @property
    def dialect(self) -> Dialect:
        return self._out.dialect

    @property
    def is_closing(self) -> bool:
        """Nothing more is sent or received; only the socket is still to end."""
        return self._out.is_closed

    def notify(self, event: Event) -> None:
        self._recipient.notify(event)

    @property
    def uploads(self) -> UploadSlots:
        if self._uploads is None:
            self._uploads = UploadSlots(self._services.transfers.media)
        return self._uploads

    def abandoned_uploads(self, now: float, seconds: float) -> list[Request]:
        """StartUpload requests whose upload has been idle longer than `seconds`."""
        return self._uploads.abandoned(now, seconds) if self._uploads is not None else []

    def discard_files(self, rejected: Iterable[Request]) -> None:
        """Remove the files that were stored for these messages, which are never committed."""
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
        """Logs out of the former account first. From here on the new one's messages are delivered to this client; the
        backlog is begun, and read once the login is answered. `other_nodes` are those that the account is on. `claims`:
        see Connection.logged_in."""
        self.log_out()
        now = self._context.clock()
        self._account = account = self._services.accounts.attach(answer.account, self._recipient, now)
        account.summary = summary or account.summary
        self.pushes_since = self._services.chats.message_clock.latest() * 1000
        self.connection.logged_in(answer, account.requests, claims)
        dialect = self.dialect
        dialect.scopes = self.connection.scopes
        dialect.logged_in(answer.account, now)
        self._out.reschedule_wake()
        if dialect.receives_pushes:
            await self.catch_up.begin(account, dialect, other_nodes)

    def log_out(self) -> None:
        """Leaves the account; the connection stays."""
        if self._account is not None:
            self.leave()
            if self.deferred is not None:
                self.deferred.clear()
            self.connection.logged_out()
            self.dialect.scopes = None
            self.dialect.logged_in(NO_ACCOUNT, self._context.clock())
            self._out.reschedule_wake()

    def leave(self) -> None:
        """The account's messages are not delivered to this client any more."""
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

    def revoked(self, revocation: Revocation) -> bool:
        """Whether the connection is to be closed now. A token is verified again in any case."""
        self.connection.token = ""
        if not self.connection.is_ended_by(revocation):
            return False
        self.is_void = self.replies_first
        return not self.replies_first

    # Messages

    def summary(self) -> ProfileSummary | None:
        """The account's, to be sent with its messages. It is refreshed soon."""
        self._services.accounts.stale_profiles.add(self.connection.account)
        return self._account.summary if self._account is not None else None

    def discover(self, chat: ChatId, fresh: int) -> Steps | None:
        """Messages of this chat were not delivered: the steps that read them. See Recipient.catch_up."""
        if self._account is None or self.is_closing or not self.dialect.receives_pushes:
            return None
        return self.catch_up.chat_discovered(self._account, self.dialect, chat, fresh)

    def mark_delivered(self, ranges: Ranges) -> None:
        if self._account is not None:
            self._services.read_state.mark_delivered(self._account.account, ranges)
            self._services.journal.confirmed(self._account.account, self.dialect.name, ranges)

    def mark_posted(self, sender: AccountId, chat: ChatId, indexes: list[int], seconds: float) -> None:
        """The client gets these messages of its own as replies. They count as read, and what is before them, also when
        the account has left. `seconds`: since the first of their frames arrived."""
        if (dialect := self.connection.dialect) is not None:
            self._services.journal.acknowledged(sender, dialect.name, chat, indexes, seconds)
        self._services.read_state.mark_posted(sender, chat, indexes, self.connection.number)
        for index in indexes:
            self.catch_up.mark_sent(chat, index)
            if self._out.record is not None:
                self._out.record.add(chat, index)

    def expect(self, message: Message, callback: Callable[[], None]) -> None:
        """Call back when the message's place in the chat has come here."""
        self._services.chats.expect(message.sender, message.chat, message.index, callback)

    def pair(self, chat: ChatId) -> MemberPair | None:
        """The members of a private chat, as far as they are known."""
        sequencer = self._services.chats.sequencer(chat)
        return sequencer.pair if sequencer else None


async def _discard(media: MediaService, id: str) -> None:
    """A file that the store does not remove now has an address that nobody knows."""
    with suppress(RequestError):
        await media.discard(id)
