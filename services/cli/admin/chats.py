"""An operator and one chat."""

import msgspec

from services.cli.admin.bus_client import AdminClient
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads
from shared.contract.model import Chat, Role
from shared.contract.session import GetChat, GetMembership, GetProfileSummaries
from shared.contract.session import Member as Membership
from shared.contract.subjects import GET_CHAT, GET_HEADS, GET_MEMBERSHIP, GET_PROFILE_SUMMARIES

_SUMMARIES_PER_REQUEST = 1_000


class ChatState(msgspec.Struct, frozen=True):
    """`messages`: how many there are."""

    chat: Chat
    members: int
    messages: int


class ChatMember(msgspec.Struct, frozen=True):
    """`first_index`: the first message that may be seen."""

    account: AccountId
    nickname: str
    role: str
    first_index: int


async def show(link: AdminClient, number: ChatId) -> ChatState:
    chat = (await link.request(GET_CHAT, GetChat(number, all=True))).chat
    present = await _current_members(link, number)
    heads = (await link.request(GET_HEADS, GetHeads([number]))).heads
    return ChatState(chat, len(present), heads[number])


async def members(link: AdminClient, number: ChatId) -> list[ChatMember]:
    """In order of their accounts' numbers."""
    await link.request(GET_CHAT, GetChat(number, all=True))  # says whether there is such a chat, and keeps a record
    present = await _current_members(link, number)
    nicknames: dict[AccountId, str] = {}
    for start in range(0, len(present), _SUMMARIES_PER_REQUEST):
        some = [one.account for one in present[start : start + _SUMMARIES_PER_REQUEST]]
        faces = (await link.request(GET_PROFILE_SUMMARIES, GetProfileSummaries(some))).faces
        nicknames |= {account: face.nickname for account, face in faces.items()}
    return [
        ChatMember(one.account, nicknames.get(one.account, ""), one.role.name.lower(), one.first_index)
        for one in present
    ]


async def _current_members(link: AdminClient, number: ChatId) -> list[Membership]:
    """Page by page; who changes meanwhile comes twice, and counts as seen last."""
    found: dict[AccountId, Membership] = {}
    cursor, more = (0, 0), True
    while more:
        page = await link.request(GET_MEMBERSHIP, GetMembership(number, after=cursor))
        found |= {member.account: member for member in page.members}
        more = page.more
        cursor = (page.members[-1].version, page.members[-1].account) if page.members else cursor
    return sorted((one for one in found.values() if one.role is not Role.LEFT), key=lambda one: one.account)
