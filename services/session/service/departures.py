"""The notifications of an ended membership."""

from services.session.service.ports import Notification
from services.session.store.departures import LeftChat
from shared.contract.edge import MembershipChanged
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Role


def notifications_of(account: AccountId, left: LeftChat, by: AccountId) -> list[Notification]:
    """To the former member and the remaining ones, who also learn of a new owner, and to those whose requests end with
    the last member. `by`: who ended the membership."""
    chat, version, owner, first_index, members, rejected = left
    recipients = None if members is None else [account, *members]
    notifications = [Notification(MembershipChanged(chat, account, Role.LEFT, 0, version, by=by), recipients)]
    if owner != NO_ACCOUNT:
        # The former member has left by the same version: an edge that has not heard of it must not skip it.
        changed = MembershipChanged(chat, owner, Role.OWNER, first_index, version, since=version, by=by)
        notifications.append(Notification(changed, members))
    return [*notifications, *(Notification(answer, [answer.account]) for answer in rejected)]
