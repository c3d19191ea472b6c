"""Bots: accounts without secrets, each with an owner. Every function is one step of a transaction."""

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from services.auth.store import bot_tokens, trail
from services.auth.store.outbox import add_event
from services.auth.store.revocations import is_revoked_since, lock_accounts
from services.auth.tables import accounts, bots
from shared.contract.admin import Act
from shared.contract.auth import Revocation
from shared.contract.bots import BotList, BotTokenView, BotView, CreatedBot
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.events import AccountRegistered
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.session import EnsureProfile
from shared.contract.subjects import BOT_REGISTERED

LISTED = 100


@dataclass(frozen=True, slots=True)
class NewBot:
    """`owner`: NO_ACCOUNT if an operator makes the bot. `created`: Unix milliseconds. `most`: the most bots of one
    owner. `act`: the entry for the audit trail, to which the account is added."""

    owner: AccountId
    uuid: str
    nickname: str
    created: int
    most: int
    act: Act


@dataclass(frozen=True, slots=True)
class NewWebhookAccount:
    """`created`: Unix milliseconds."""

    uuid: str
    nickname: str
    signature: str
    created: int
    maker: AccountId


@dataclass(frozen=True, slots=True)
class NewBotToken:
    """`revision`: the revision of the token. `most`: the most tokens of one bot that are valid at `seconds` (Unix)."""

    token: BotTokenView
    revision: int
    most: int
    seconds: int
    act: Act


def create(connection: sa.Connection, new: NewBot) -> CreatedBot:
    """Raises RequestError: `unauthenticated` for an owner that is disabled or does not exist, `forbidden` if the owner
    is a bot, `limit`."""
    if new.owner != NO_ACCOUNT:
        _check_new_owner(connection, new)
    seed = _insert(connection, new.uuid, new.nickname, new.created)
    connection.execute(bots.insert().values(account=seed.account, owner=new.owner, created=new.created))
    trail.add(connection, msgspec.structs.replace(new.act, account=seed.account, detail=f"owner {new.owner}"))
    return CreatedBot(seed.account, new.uuid, new.nickname, new.created)


def create_webhook_account(connection: sa.Connection, new: NewWebhookAccount) -> CreatedBot:
    """The account by which an incoming webhook posts. It has no owner, so no list of bots shows it, and it gets no
    token."""
    seed = _insert(connection, new.uuid, new.nickname, new.created, new.signature)
    trail.add(connection, Act("create webhook", seed.account, "user", detail=f"maker {new.maker}"))
    return CreatedBot(seed.account, new.uuid, new.nickname, new.created)


def _insert(connection: sa.Connection, uuid: str, nickname: str, created: int, signature: str = "") -> EnsureProfile:
    """An account without secrets."""
    values = {
        "uuid": uuid, "created": created, "question_id": 0, "nickname": nickname, "icon_id": 0,
        "signature": signature, "vip": 0, "lobby": False,
    }  # fmt: skip
    account = AccountId(connection.execute(accounts.insert().values(values).returning(accounts.c.id)).scalar_one())
    seed = EnsureProfile(
        account=account, uuid=uuid, nickname=nickname, signature=signature, created=created, bot=True
    )  # fmt: skip
    add_event(connection, BOT_REGISTERED, AccountRegistered(seed))
    return seed


def _check_new_owner(connection: sa.Connection, new: NewBot) -> None:
    """Checks that the owner may have one more bot. Locks the owner's row, so that two bots are made one after the
    other."""
    active = sa.select(accounts.c.id).where(
        accounts.c.id == new.owner, accounts.c.uuid.is_not(None), ~accounts.c.disabled
    )
    if connection.execute(active.with_for_update()).first() is None:
        raise RequestError(ErrorCode.UNAUTHENTICATED, "the account does not exist")
    if is_bot(connection, new.owner):
        raise RequestError(ErrorCode.FORBIDDEN, "a bot cannot own bots", reason=Reason.WRONG_KIND)
    count = connection.execute(sa.select(sa.func.count()).where(bots.c.owner == new.owner)).scalar_one()
    if count >= new.most:
        raise RequestError(ErrorCode.LIMIT, f"an account has at most {new.most} bots")


def is_bot(connection: sa.Connection, account: AccountId) -> bool:
    return connection.execute(sa.select(bots.c.account).where(bots.c.account == account)).first() is not None


def list_bots(connection: sa.Connection, owner: AccountId | None, after: AccountId, seconds: int) -> BotList:
    """One page of bots, each with its tokens that are valid at `seconds` (Unix). If `owner` is None, the list has the
    bots of all owners."""
    found = sa.select(bots, accounts.c.nickname).join(accounts, accounts.c.id == bots.c.account)
    found = found.where(bots.c.account > after, accounts.c.uuid.is_not(None))
    if owner is not None:
        found = found.where(bots.c.owner == owner)
    rows = connection.execute(found.order_by(bots.c.account).limit(LISTED)).all()
    listed = [
        BotView(
            AccountId(row.account), AccountId(row.owner), row.nickname, row.created,
            bot_tokens.list_valid(connection, AccountId(row.account), seconds),
        )
        for row in rows
    ]  # fmt: skip
    return BotList(listed, len(listed) == LISTED)


def check_owner(connection: sa.Connection, bot: AccountId, owner: AccountId | None) -> None:
    """Raises RequestError (`not_found`) if the bot does not exist or has another owner. If `owner` is None, any owner
    is accepted."""
    found = sa.select(bots.c.account).where(bots.c.account == bot)
    if owner is not None:
        found = found.where(bots.c.owner == owner)
    if connection.execute(found).first() is None:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such bot", "account")


def add_token(connection: sa.Connection, bot: AccountId, owner: AccountId | None, new: NewBotToken) -> None:
    """Raises RequestError: the errors of `check_owner`, `forbidden` for a disabled bot or owner, `limit`."""
    check_owner(connection, bot, owner)
    _check_active(connection, bot, new.revision)
    if len(bot_tokens.list_valid(connection, bot, new.seconds)) >= new.most:
        raise RequestError(ErrorCode.LIMIT, f"a bot has at most {new.most} tokens", "account")
    bot_tokens.add(connection, bot, new.token)
    trail.add(connection, new.act)


def _check_active(connection: sa.Connection, bot: AccountId, revision: int) -> None:
    """Locks the row of the bot and, if there is an owner, the owner's row. The owner's row is locked first, as in the
    deletion of the owner."""
    owner = connection.execute(sa.select(bots.c.owner).where(bots.c.account == bot)).scalar()
    needed = {bot, owner or NO_ACCOUNT} - {NO_ACCOUNT}
    active = sa.select(accounts.c.id).where(
        accounts.c.id.in_(needed), accounts.c.uuid.is_not(None), ~accounts.c.disabled
    )
    found = connection.execute(active.order_by(accounts.c.id).with_for_update()).all()
    if len(found) < len(needed) or is_revoked_since(connection, bot, revision):
        raise RequestError(ErrorCode.FORBIDDEN, "the bot, or its owner, is disabled", "account", reason=Reason.DISABLED)


def revoke_token(connection: sa.Connection, bot: AccountId, owner: AccountId | None, sid: str) -> Revocation:
    """Raises RequestError: the errors of `check_owner`, and `not_found` if the bot does not have this token."""
    check_owner(connection, bot, owner)
    lock_accounts(connection, [bot])
    revocation = bot_tokens.revoke_one(connection, bot, sid)
    if revocation is None:
        raise RequestError(ErrorCode.NOT_FOUND, "the bot has no such token", "sid")
    return revocation


def revoke_tokens(connection: sa.Connection, owner: AccountId) -> list[Revocation]:
    """Revokes the tokens of all bots of the owner."""
    owned = [AccountId(bot) for bot in connection.scalars(sa.select(bots.c.account).where(bots.c.owner == owner))]
    lock_accounts(connection, owned)
    return [one for bot in owned for one in bot_tokens.revoke_all(connection, bot)]
