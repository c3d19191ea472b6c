"""An operator and one chat."""

import msgspec

from services.cli.admin.bus_client import Link
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads
from shared.contract.model import Chat, Role
from shared.contract.session import GetChat, GetMembership, GetProfileSummaries
from shared.contract.session import Member as Membership
from shared.contract.subjects import GET_CHAT, GET_HEADS, GET_MEMBERSHIP, GET_PROFILE_SUMMARIES

_FACES = 1_000


class ChatState(msgspec.Struct, frozen=True):
    """`messages`: how many there are."""

    chat: Chat
    members: int
    messages: int


class Member(msgspec.Struct, frozen=True):
    """`first_index`: the first message that may be seen."""

    account: AccountId
    nickname: str
    role: str
    first_index: int


async def show(link: Link, number: ChatId) -> ChatState:
    chat = (await link.ask(GET_CHAT, GetChat(number, all=True))).chat
    present = await _present(link, number)
    heads = (await link.ask(GET_HEADS, GetHeads([number]))).heads
    return ChatState(chat, len(present), heads[number])


async def members(link: Link, number: ChatId) -> list[Member]:
    """In order of their accounts' numbers."""
    await link.ask(GET_CHAT, GetChat(number, all=True))  # says whether there is such a chat, and keeps a record
    present = await _present(link, number)
    nicknames: dict[AccountId, str] = {}
    for start in range(0, len(present), _FACES):
        some = [one.account for one in present[start : start + _FACES]]
        faces = (await link.ask(GET_PROFILE_SUMMARIES, GetProfileSummaries(some))).faces
        nicknames |= {account: face.nickname for account, face in faces.items()}
    return [
        Member(one.account, nicknames.get(one.account, ""), one.role.name.lower(), one.first_index) for one in present
    ]


async def _present(link: Link, number: ChatId) -> list[Membership]:
    """Page by page; who changes meanwhile comes twice, and counts as seen last."""
    found: dict[AccountId, Membership] = {}
    cursor, more = (0, 0), True
    while more:
        page = await link.ask(GET_MEMBERSHIP, GetMembership(number, after=cursor))
        found |= {member.account: member for member in page.members}
        more = page.more
        cursor = (page.members[-1].version, page.members[-1].account) if page.members else cursor
    return sorted((one for one in found.values() if one.role is not Role.LEFT), key=lambda one: one.account)
