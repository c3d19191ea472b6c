"""The requests of an operator to the auth and session services, and the reports of messages by users. The services log
each request with its account. Times are Unix milliseconds."""

from enum import StrEnum

import msgspec

from shared.contract.auth import IdentifierKind, Origin
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Confidential, ProfileSummary
from shared.contract.routes import Ack, Forwarded, Routed


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the auth service stores it, without its secrets. `schemes`: the schemes of the account's passwords.
    `recoverable`: the account has a security question. `email_verified`: the user has received a mail at the
    address."""

    account: AccountId
    uuid: str
    email: str
    username: str
    nickname: str
    """The nickname at registration. The session service knows the present nickname."""
    created: int
    """Unix milliseconds."""
    disabled: bool
    schemes: list[str]
    recoverable: bool
    email_verified: bool = False


class FindUser(Confidential, msgspec.Struct):
    """A request for the account with an identifier. Error: `not_found` for an unknown or deleted account."""

    route = Routed("auth.admin.find", UserView)
    kind: IdentifierKind
    identifier: str


class Duplicates(msgspec.Struct, frozen=True):
    """Groups of accounts whose usernames look alike. `emails`: always empty."""

    usernames: list[list[AccountId]]
    emails: list[list[AccountId]]


class ListDuplicates(msgspec.Struct):
    """A request for accounts whose usernames look alike, up to 100 groups."""

    route = Routed("auth.admin.duplicates", Duplicates)


class SetDisabled(msgspec.Struct):
    """Disables or enables an account. Disabling an account revokes its tokens, closes its connections and rejects its
    logins. `not_found` for an unknown account."""

    route = Routed("auth.admin.disable", Ack)
    account: AccountId
    disabled: bool


class ResetPassword(Confidential, msgspec.Struct):
    """Replaces all secrets of an account and revokes its tokens. `not_found` for an unknown account."""

    route = Routed("auth.admin.reset", Ack)
    account: AccountId
    password: str


class Kick(msgspec.Struct):
    """Closes all connections of an account, which may log in again at once."""

    route = Routed("auth.admin.kick", Ack)
    account: AccountId


# The audit trail


class Act(msgspec.Struct, frozen=True):
    """An entry of the audit trail: an act that changed or read an account, or the system (account 0). `by`: `user`,
    `operator` (of IRC) or `admin`. `address`: the client's address, as far as it is known. The auth service sets `time`
    (Unix milliseconds) and `number`.
    """

    act: str
    account: AccountId = NO_ACCOUNT
    by: str = "admin"
    address: str = ""
    detail: str = ""
    time: int = 0
    number: int = 0


class RecordAct(msgspec.Struct):
    """Enters an act of another service, or of the operator's command itself, into the audit trail."""

    route = Routed("auth.admin.record", Ack)
    act: str
    account: AccountId = NO_ACCOUNT
    detail: str = ""


class OperatorAct(StrEnum):
    """`oper`: the actor has become an operator with the password of the account. `kill`: the actor has closed the
    account's connections. `wallops`: the account, which is the actor, has written to all users with mode `w`."""

    OPER = "oper"
    KILL = "kill"
    WALLOPS = "wallops"


class RecordOperatorAct(msgspec.Struct):
    """Enters an act of an operator of IRC into the audit trail. `actor`: the account of the operator's connection."""

    route = Routed("auth.operator_act", Ack)
    act: OperatorAct
    account: AccountId
    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()


class Trail(msgspec.Struct, frozen=True):
    """If `more` is set, request the next page with `before` set to the number of the last act."""

    acts: list[Act]
    more: bool = False


class SearchTrail(msgspec.Struct):
    """A request for a page of the audit trail, newest first. The acts are on this account (0 for any), of one kind
    (empty for any), not older than `since` (Unix milliseconds), and have numbers below `before` (0 for any)."""

    route = Routed("auth.admin.trail", Trail)
    account: AccountId = NO_ACCOUNT
    act: str = ""
    since: int = 0
    before: int = 0


# An announcement is a message from the system account to one recipient, in their private chat.


class AccountList(msgspec.Struct, frozen=True):
    """A page of accounts. `last`: request the next page after this account; NO_ACCOUNT on the last page."""

    accounts: list[AccountId]
    last: AccountId = NO_ACCOUNT


class ListAccounts(msgspec.Struct):
    """A request for the accounts that can receive announcements: one page after the account `after`, by ascending
    numbers. `online`: only connected accounts. Error: `unavailable` if presence is unknown."""

    route = Routed("session.admin.accounts", AccountList)
    after: AccountId = NO_ACCOUNT
    online: bool = False


class AnnouncementsOpened(msgspec.Struct, frozen=True):
    """The chats of the accounts. Unknown and deleted accounts are left out. `face`: the profile summary of the system
    account."""

    chats: dict[AccountId, ChatId]
    face: ProfileSummary


class OpenAnnouncements(msgspec.Struct):
    """Finds or creates the chats of the system account with these accounts, at most 500 at once."""

    route = Routed("session.admin.notices", AnnouncementsOpened)
    accounts: list[AccountId]


class ReportMessage(Confidential, Forwarded):
    """A report on a message that the account may see and has not sent. If the account reports a message again, the
    first reason stays. The reply is an Ack. Errors: `not_found` for any other message and for a recalled one, `limit`
    while too many reports of the account are open."""

    route = Routed("session.report", Ack)
    chat: ChatId
    index: int
    reason: str


class Report(Confidential, msgspec.Struct, frozen=True, kw_only=True):
    """`body`: the message's body at the time of the report (see `unpack_segments`). The message was sent at `sent`, and
    reported at `reported`."""

    number: int
    chat: ChatId
    index: int
    sender: AccountId
    sent: int
    body: bytes
    reporter: AccountId
    reason: str
    reported: int


class ReportPage(msgspec.Struct, frozen=True):
    """If `more` is set, request the next page after the number of the last report."""

    reports: list[Report]
    more: bool = False


class ListReports(msgspec.Struct):
    """A request for a page of the open reports, in order of their numbers, after number `after`."""

    route = Routed("session.admin.reports", ReportPage)
    after: int = 0


class OwnReport(Confidential, msgspec.Struct, frozen=True):
    chat: ChatId
    index: int
    reason: str
    reported: int


class OwnReports(msgspec.Struct, frozen=True):
    """The reports, oldest first."""

    reports: list[OwnReport]


class ListOwnReports(msgspec.Struct):
    """A request for the open reports that the account has made."""

    route = Routed("session.reports", OwnReports)
    actor: AccountId = NO_ACCOUNT


class CloseReport(msgspec.Struct):
    """Deletes a report. The reply is an Ack. Error: `not_found` for an unknown number."""

    route = Routed("session.admin.close_report", Ack)
    number: int


class SetMaintenance(msgspec.Struct):
    """Switches the maintenance mode on or off. Every edge is notified."""

    route = Routed("auth.maintenance", Ack)
    on: bool
