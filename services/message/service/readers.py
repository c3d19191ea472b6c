"""Who has read a message."""

from services.message.domain import NO_SUCH_MESSAGE, NOT_A_MEMBER
from services.message.service.roster import Roster
from services.message.store import Snapshot
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId
from shared.contract.receipts import FindReaders, Readers

_MEMBERS = 500
_PAGE = 100
_TOO_MANY_MEMBERS = Failure(ErrorCode.LIMIT, f"this group has more than {_MEMBERS} members", "chat")


def possible_readers(roster: Roster, request: FindReaders) -> list[AccountId]:
    """The members that may see the message. Raises RequestError."""
    first, _ = roster.members.get(request.actor, (0, 0))
    if not first:
        raise RequestError.from_failure(NOT_A_MEMBER)
    if request.index < first:
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    if len(roster.members) > _MEMBERS:
        raise RequestError.from_failure(_TOO_MANY_MEMBERS)
    return sorted(account for account, (seen_from, _) in roster.members.items() if seen_from <= request.index)


def find_readers(snapshot: Snapshot, request: FindReaders, members: list[AccountId]) -> Readers:
    """Members that joined later count only if they have read the message themselves. Raises RequestError."""
    chat, index = request.chat, request.index
    message = next(snapshot.messages([(chat, index, index)]), None)
    if message is None:
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    cursors = snapshot.cursors([(account, chat) for account in members])
    readers = [
        account
        for account in members
        if account != message.sender
        and (cursor := cursors.get((account, chat))) is not None
        and cursor.read_index >= index
    ]
    left = [account for account in readers if account > request.after]
    return Readers(len(readers), left[:_PAGE], more=len(left) > _PAGE)
