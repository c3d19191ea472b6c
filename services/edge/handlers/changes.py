"""Edits, recalls, reactions and pins on their way to the message service, and the pages of such changes."""

from collections.abc import Callable

from services.edge.canonical.commands import EditMessage
from services.edge.canonical.replies import ChangesPage
from services.edge.client.posts import nonce_of
from services.edge.client.session import LoginSession
from services.edge.dialects.encoded_message import to_display_change
from services.edge.handlers.message_resolver import MessageResolver
from services.edge.upstream.owners import ANY, Owners
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.body import pack_edited
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, NodeId
from shared.contract.message import Changed, ChangeMessage, EditText, GetChanges
from shared.contract.receipts import FindReactors, Reactors

_OWNER_SECONDS = 1.0
"""Then any replica is requested: a repeated change is not made again."""


class MessageChanger:
    """Each request waits for its reply for `seconds`. `clock` is that of `owners`. All raise RequestError."""

    def __init__(
        self,
        bus: Bus,
        node: NodeId,
        owners: Owners,
        messages: MessageResolver,
        clock: Callable[[], float],
        seconds: float,
    ) -> None:
        self._bus = bus
        self._node = node
        self._owners = owners
        self._messages = messages
        self._clock = clock
        self._seconds = seconds

    async def change(self, session: LoginSession, command: EditMessage | ChangeMessage) -> Changed:
        account = session.connection.account
        request = await self._edit(command, account) if isinstance(command, EditMessage) else command
        request.actor, request.origin = account, (self._node, session.connection.number)
        owner = self._owners.owner(request.chat, self._clock())
        if owner != ANY:
            try:
                route, seconds = subjects.change(owner), min(_OWNER_SECONDS, self._seconds)
                return await self._bus.request(route, request, seconds=seconds, wait_for_service=False)
            except RequestError as error:
                if error.failure.code is not ErrorCode.UNAVAILABLE:
                    raise
        return await self._bus.send(request, seconds=self._seconds, retry=True)

    async def _edit(self, command: EditMessage, account: AccountId) -> ChangeMessage:
        segments = command.segments
        if command.references_media:
            segments = await self._messages.look_up_all(segments)
        nonce = nonce_of(account, command.chat, command.nonce)
        return ChangeMessage(
            command.chat, command.index, EditText(pack_edited(segments), nonce, command.if_rev), account
        )

    async def page(self, command: GetChanges, actor: AccountId) -> ChangesPage:
        command.actor = actor
        page = await self._bus.send(command, seconds=self._seconds, retry=True)
        return ChangesPage(tuple(map(to_display_change, page.changes)), page.rev, page.more)

    async def reactors(self, command: FindReactors, actor: AccountId) -> Reactors:
        command.actor = actor
        return await self._bus.send(command, seconds=self._seconds, retry=True)
