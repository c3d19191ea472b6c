"""Who has reacted to a message."""

from services.message.domain import NO_SUCH_MESSAGE
from services.message.store import Snapshot
from shared.contract.errors import RequestError
from shared.contract.reactions import MAX_REACTORS, FindReactors, Reactor, Reactors
from shared.emoji import canonical_emoji


def find_reactors(snapshot: Snapshot, request: FindReactors, first_index: int) -> Reactors:
    """`first_index`: the first that the actor may see. Raises RequestError."""
    chat, index = request.chat, request.index
    if not first_index <= index <= snapshot.heads([chat]).get(chat, 0):
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    count = min(max(request.count, 1), MAX_REACTORS)
    found = snapshot.reactors((chat, index), canonical_emoji(request.emoji), request.after, count + 1)
    listed = [Reactor(account, emojis) for account, emojis in found]
    return Reactors(listed[:count], more=len(listed) > count)
