"""Requests of an operator to auth and session, which log each one with the account concerned; reports of messages
to the operator. Times are Unix milliseconds."""

import msgspec

from shared.contract.auth import IdentifierKind
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ProfileSummary
from shared.contract.routes import Ack, Forwarded, Routed


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """An account in auth, without its secrets. `schemes`: the password schemes it has; `recoverable`: an answer to a
    security question is stored; `email_verified`: a mail to the address has reached the user."""

    account: AccountId
    uuid: str
    email: str
    username: str
    nickname: str
    """The nickname at registration; session knows the current one."""
    created: int
    """Unix milliseconds."""
    disabled: bool
    schemes: list[str]
    recoverable: bool
    email_verified: bool = False


class FindUser(msgspec.Struct):
    """The account with an identifier; `not_found` for an unknown or deleted one."""

    route = Routed("auth.admin.find", UserView)

    kind: IdentifierKind
    identifier: str

    def __repr__(self) -> str:
        return f"FindUser({self.kind})"


class Duplicates(msgspec.Struct, frozen=True):
    """Groups of accounts: with usernames that look alike, and with spellings of one e-mail address."""

    usernames: list[list[AccountId]]
    emails: list[list[AccountId]]


class ListDuplicates(msgspec.Struct):
    """Asks for accounts that identifiers do not tell apart, up to 100 groups of each kind."""

    route = Routed("auth.admin.duplicates", Duplicates)


class SetDisabled(msgspec.Struct):
    """Disables or enables an account. Disabling revokes its tokens, closes its connections and rejects its logins.
    `not_found` for an unknown account."""

    route = Routed("auth.admin.disable", Ack)

    account: AccountId
    disabled: bool


class ResetPassword(msgspec.Struct):
    """Replaces all secrets of an account and revokes its tokens. `not_found` for an unknown account."""

    route = Routed("auth.admin.reset", Ack)

    account: AccountId
    password: str

    def __repr__(self) -> str:
        return f"ResetPassword(account={self.account}, ***)"


class Kick(msgspec.Struct):
    """Closes all connections of an account, which may log in again at once."""

    route = Routed("auth.admin.kick", Ack)

    account: AccountId


# The audit trail


class Act(msgspec.Struct, frozen=True):
    """Something that changed or read an account, or the system (account 0). `by`: `user` or `admin`. `address`: of the
    client, as far as it is known. `time` (Unix milliseconds) and `number` are auth's."""

    act: str
    account: AccountId = NO_ACCOUNT
    by: str = "admin"
    address: str = ""
    detail: str = ""
    time: int = 0
    number: int = 0


class RecordAct(msgspec.Struct):
    """Records an act that another service, or the operator's command itself, carries out."""

    route = Routed("auth.admin.record", Ack)

    act: str
    account: AccountId = NO_ACCOUNT
    detail: str = ""


class Trail(msgspec.Struct, frozen=True):
    """With `more`, continue before the number of the last act."""

    acts: list[Act]
    more: bool = False


class SearchTrail(msgspec.Struct):
    """One page, newest first, of acts on an account (0: on any), of one kind (empty: any), not older than `since` (Unix
    milliseconds), with numbers below `before` (0: any)."""

    route = Routed("auth.admin.trail", Trail)

    account: AccountId = NO_ACCOUNT
    act: str = ""
    since: int = 0
    before: int = 0


# Notices: messages of the system account to each recipient, in a chat of the two


class AccountList(msgspec.Struct, frozen=True):
    """`last`: continue after it; NO_ACCOUNT: the last page."""

    accounts: list[AccountId]
    last: AccountId = NO_ACCOUNT


class ListAccounts(msgspec.Struct):
    """The accounts that can receive notices, in order of their numbers, one page after `after`. `online`: only
    connected accounts; `unavailable` when presence is unknown."""

    route = Routed("session.admin.accounts", AccountList)

    after: AccountId = NO_ACCOUNT
    online: bool = False


class NoticesOpened(msgspec.Struct, frozen=True):
    """Without unknown and deleted accounts. `face`: the profile summary of the system account."""

    chats: dict[AccountId, ChatId]
    face: ProfileSummary


class OpenNotices(msgspec.Struct):
    """Finds or creates the chats of the system account with these accounts, at most 500 at once."""

    route = Routed("session.admin.notices", NoticesOpened)

    accounts: list[AccountId]


class ReportMessage(Forwarded):
    """Reports a message that the account may see, and has not sent. Idempotent: the first reason stays. Answered with
    an Ack; `not_found` for another message, or a recalled one; `limit` while too many of the account are open."""

    route = Routed("session.report", Ack)

    chat: ChatId
    index: int
    reason: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"ReportMessage(chat={self.chat}, index={self.index}, ***)"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`body`: of the message as it was then (see `unpack_segments`); it was sent at `sent`, and reported at
    `reported`."""

    number: int
    chat: ChatId
    index: int
    sender: AccountId
    sent: int
    body: bytes
    reporter: AccountId
    reason: str
    reported: int

    def __repr__(self) -> str:
        return f"Report({self.number}, ***)"


class ReportPage(msgspec.Struct, frozen=True):
    """With `more`, continue after the last number."""

    reports: list[Report]
    more: bool = False


class ListReports(msgspec.Struct):
    """A page of the open reports, in order of their numbers, after number `after`."""

    route = Routed("session.admin.reports", ReportPage)

    after: int = 0


class OwnReport(msgspec.Struct, frozen=True):
    chat: ChatId
    index: int
    reason: str
    reported: int

    def __repr__(self) -> str:
        return f"OwnReport(chat={self.chat}, index={self.index}, ***)"


class OwnReports(msgspec.Struct, frozen=True):
    """Oldest first."""

    reports: list[OwnReport]


class ListOwnReports(msgspec.Struct):
    """The open reports of the account itself."""

    route = Routed("session.reports", OwnReports)

    actor: AccountId = NO_ACCOUNT


class CloseReport(msgspec.Struct):
    """Deletes a report. Answered with an Ack; `not_found` for an unknown number."""

    route = Routed("session.admin.close_report", Ack)

    number: int
