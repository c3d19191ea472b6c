"""Loads the fresh member list of one chat. Use cases begin with this to check that an account is a member."""

from services.message.domain import NOT_A_MEMBER
from services.message.service.member_list import ChatMembers
from services.message.service.ports import LookUpVersions, MemberListPort
from shared.contract.errors import Failure, RequestError
from shared.contract.ids import AccountId, ChatId


async def load_members(member_lists: MemberListPort, versions: LookUpVersions, chat: ChatId) -> ChatMembers:
    """The fresh member list of the chat. Raises RequestError."""
    member_list = (await member_lists.load([chat], await versions([chat])))[chat]
    if isinstance(member_list, Failure):
        raise RequestError.from_failure(member_list)
    return member_list


def require_member(member_list: ChatMembers, account: AccountId) -> tuple[int, int]:
    """Returns the first index that the account may see, and the first index that can be unread for the account. Raises
    RequestError."""
    if (place := member_list.members.get(account)) is None:
        raise RequestError.from_failure(NOT_A_MEMBER)
    return place
