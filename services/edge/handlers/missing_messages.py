"""What a client that comes back lacks: messages from the message service, chats from session, names of senders."""

import asyncio
from collections.abc import Mapping

from services.edge.canonical.commands import ResumeChats
from services.edge.canonical.replies import ChatsResumed, ChatToResume
from services.edge.dialects.encoded_message import other_member, to_display, to_display_change
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import fetch_summaries
from services.edge.receipts.read_state import ReadStateFlusher
from shared.bus.client import Bus
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ProfileSummary
from shared.contract.resume import ChatRevision, Resume, Resumed, ResumedChat
from shared.contract.session import ChatsFound, GetChats


class MissingMessages:
    """Each request waits for its reply for `seconds`. All raise RequestError."""

    def __init__(self, bus: Bus, accounts: LocalAccounts, read_state: ReadStateFlusher, seconds: float) -> None:
        self._bus = bus
        self._accounts = accounts
        self._read_state = read_state
        self._seconds = seconds

    async def fetch(self, command: ResumeChats, actor: AccountId) -> ChatsResumed:
        await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        resumed, reset = await self._resumed(command, actor)
        listed = resumed.chats
        others = {one.chat: other_member(one.pair, actor) for one in listed if one.pair is not None}
        senders = {message.sender for one in listed for message in one.messages}
        found, summaries = await asyncio.gather(
            self._chats([one.chat for one in listed], actor),
            fetch_summaries(self._bus, senders.union(others.values()), self._seconds),
        )
        chats = {chat.id: chat for chat in found.chats}
        states = [
            _to_resume(chats[one.chat], one, summaries, found, others.get(one.chat, NO_ACCOUNT))
            for one in listed
            if one.chat in chats
        ]
        before = (listed[-1].time, listed[-1].chat) if resumed.more else None
        epoch, gone, away = resumed.epoch or command.epoch, tuple(resumed.gone), tuple(resumed.away)
        return ChatsResumed(epoch, reset, tuple(states), gone, away, before)

    async def _resumed(self, command: ResumeChats, actor: AccountId) -> tuple[Resumed, bool]:
        """The reply, and whether it disregards the messages that the client has."""
        request = Resume(
            actor, command.have, command.window, command.timeline, command.before, command.revs, command.states
        )
        resumed = await self._request(request)
        if not (is_restored(command.epoch, resumed.epoch) or resumed.rewound):
            return resumed, False
        return await self._request(Resume(actor, {}, command.window, command.timeline)), True

    async def _request(self, request: Resume) -> Resumed:
        return await self._bus.send(request, seconds=self._seconds, retry=True)

    async def _chats(self, chats: list[ChatId], actor: AccountId) -> ChatsFound:
        if not chats:
            return ChatsFound([])
        request = GetChats(chats, actor)
        return await self._bus.send(request, seconds=self._seconds, retry=True)


def _to_resume(
    chat: Chat,
    state: ResumedChat,
    summaries: Mapping[AccountId, ProfileSummary],
    found: ChatsFound,
    other: AccountId,
) -> ChatToResume:
    revision = state.revision or ChatRevision(0)
    messages = tuple(
        to_display(message, state.pair, summaries.get(message.sender), revision.reactions.get(message.index))
        for message in state.messages
    )
    changes = tuple(map(to_display_change, revision.changes))
    mute, role = found.mutes.get(chat.id), found.roles.get(chat.id)
    return ChatToResume(chat, state, messages, changes, mute, summaries.get(other), role)


def is_restored(known: str, current: str) -> bool:
    """Whether the database has another epoch than the client knows. See shared.contract.resume.Resumed."""
    return bool(known and current) and known != current
