"""Shows IRC clients the ephemeral events of users. These are the tags of TAGMSG, which users are away, and when users
with monitored nicks come and leave."""

from collections import deque
from collections.abc import Iterable

from services.edge.canonical.irc_commands import ActAsOperator, RelayTags
from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral.events import Publish
from services.edge.presence.local_accounts import LocalAccounts, Recipient
from shared.contract.ephemeral import AwayChanged, IrcEvent, MetadataChanged, NickSeen, OperatorActed, TagsRelayed
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.metadata import MetadataValue
from shared.contract.model import ProfileSummary
from shared.irc_names import nick_of
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_MEMBERS = 200
"""The most members of a chat on one node. If there are more, nothing is shown."""
_OPERATOR = "o"
"""The mode of an IRC operator."""
_KILLED = 4003
_CHATS = 300
"""The most chats in which a change of an account's state is shown."""


class NickEvents:
    def __init__(
        self, publish: Publish, node: NodeId, accounts: LocalAccounts, chats: LocalChats, tasks: Tasks
    ) -> None:
        self._publish = publish
        self._node = node
        self._accounts = accounts
        self._chats = chats
        self._tasks = tasks
        self._monitored: dict[int, tuple[Recipient, frozenset[str]]] = {}
        """The nicks that each connection monitors, by the connection's number."""
        self._monitors: dict[str, dict[int, Recipient]] = {}
        """For each nick, the connections that monitor it, by their numbers."""
        self._modes: dict[AccountId, frozenset[str]] = {}
        """The modes of the accounts on this edge."""
        self.past_guests: deque[tuple[AccountId, ProfileSummary]] = deque(maxlen=0)
        """The guests that have left or taken another nick."""

    def remember_guests(self, most: int) -> None:
        self.past_guests = deque(maxlen=most)

    def relay(self, command: RelayTags, actor: AccountId, face: ProfileSummary | None) -> None:
        """Raises RequestError."""
        local = self._accounts.get(actor)
        if local is None or face is None or command.chat not in local.chats:
            raise RequestError(
                ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat", reason=Reason.NOT_MEMBER
            )
        tags = dict(command.tags)
        self._announce(TagsRelayed(command.chat, actor, tags, face, self._node, command.text, command.unanswered))

    def away(
        self, actor: AccountId, face: ProfileSummary | None, text: str, chats: Iterable[ChatId] | None = None
    ) -> None:
        """Show that the account is away or, without a text, that it is back. `chats`: the chats whose members see this.
        None means all chats of the account."""
        local = self._accounts.get(actor)
        if local is not None and face is not None:
            shown = sorted(local.chats if chats is None else {*local.chats} & {*chats})[:_CHATS]
            self._announce(AwayChanged(actor, face, text, shown, self._node))

    def metadata(self, actor: AccountId, face: ProfileSummary | None, values: Iterable[MetadataValue]) -> None:
        local = self._accounts.get(actor)
        if local is not None and face is not None:
            for one in values:
                chats = [one.chat] if one.chat else sorted(local.chats)[:_CHATS]
                self._announce(MetadataChanged(actor, face, one, chats, self._node))

    def seen(self, account: AccountId, face: ProfileSummary, *, online: bool, described: bool = False) -> None:
        """Announce that a guest has come or left, or has another nick. With `described`, the user has another real
        name."""
        self._announce(NickSeen(account, face, online, self._node, described))

    def monitor(self, recipient: Recipient, nicks: frozenset[str]) -> None:
        self.stop_monitoring(recipient.number)
        if nicks:
            self._monitored[recipient.number] = recipient, nicks
        for nick in nicks:
            self._monitors.setdefault(nick, {})[recipient.number] = recipient

    def stop_monitoring(self, connection: int) -> None:
        _, nicks = self._monitored.pop(connection, (None, frozenset[str]()))
        for nick in nicks:
            watching = self._monitors[nick]
            del watching[connection]
            if not watching:
                del self._monitors[nick]

    # Modes

    def modes_of(self, account: AccountId) -> frozenset[str]:
        """The modes of an account. An account that has left this edge has no modes."""
        return self._modes.get(account, frozenset()) if self._accounts.get(account) is not None else frozenset()

    def show_modes(self, account: AccountId, modes: frozenset[str]) -> None:
        """Set the modes of an account. Only an account that is an operator already keeps the mode of an operator."""
        self._modes = {one: shown for one, shown in self._modes.items() if self._accounts.get(one) is not None}
        self._modes[account] = modes if _OPERATOR in self.modes_of(account) else modes - {_OPERATOR}

    def make_operator(self, account: AccountId) -> None:
        self._modes[account] = self.modes_of(account) | {_OPERATOR}

    def check_operator(self, account: AccountId) -> None:
        """Raises RequestError if the account is no operator."""
        if _OPERATOR not in self.modes_of(account):
            raise RequestError(ErrorCode.FORBIDDEN, "only operators of IRC may do this", reason=Reason.NOT_ADMIN)

    def act(self, command: ActAsOperator, actor: AccountId, face: ProfileSummary) -> None:
        """Raises RequestError if the actor is no operator."""
        self.check_operator(actor)
        _log.info("an operator of IRC has acted", account=actor, killed=command.account, text=command.text)
        self._announce(OperatorActed(actor, face, command.text, command.account, self._node))

    def receive(self, event: IrcEvent) -> None:
        if event.node != self._node:
            self._show(event)

    def _announce(self, event: IrcEvent) -> None:
        """Show the event on this edge at once, before any later output of the connection, and send it to the other
        edges."""
        self._show(event)
        self._tasks.start(self._publish(event), "nick event")

    def _show(self, event: IrcEvent) -> None:
        if isinstance(event, NickSeen) and not event.online:
            self.past_guests.append((event.account, event.face))
        if isinstance(event, OperatorActed):
            self._show_act(event)
            return
        match event:
            case TagsRelayed(chat=chat):
                accounts = self._members([chat])
            case AwayChanged(chats=chats) | MetadataChanged(chats=chats):
                accounts = self._members(chats)
            case _:
                accounts = set()
        for local in filter(None, map(self._accounts.get, accounts - {event.account})):
            local.notify_ephemeral(event)
        if isinstance(event, TagsRelayed) or (isinstance(event, MetadataChanged) and event.value.chat):
            return
        if isinstance(event, AwayChanged) and not event.face.guest:
            return  # only PresenceWatch shows the presence of an account to users without a common group
        for recipient in self._monitoring(_nick(event)):
            recipient.notify_ephemeral(event)

    def _show_act(self, event: OperatorActed) -> None:
        killed = self._accounts.get(event.killed) if event.killed else None
        for recipient in killed.recipients if killed else ():
            recipient.close(_KILLED, f"Killed ({_nick(event)}: {event.text})")
        if not event.killed:
            for local in filter(None, map(self._accounts.get, list(self._modes))):
                local.notify_ephemeral(event)

    def _members(self, chats: Iterable[ChatId]) -> set[AccountId]:
        found = [one for one in map(self._chats.sequencer, chats) if one and len(one.members) <= _MEMBERS]
        return {account for one in found for account in one.members}

    def _monitoring(self, nick: str) -> list[Recipient]:
        watching = self._monitors.get(nick.lower(), {})
        return list(watching.values())


def _nick(event: AwayChanged | MetadataChanged | NickSeen | OperatorActed) -> str:
    return event.face.nick or nick_of(event.account, event.face.nickname)
