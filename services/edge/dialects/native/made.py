"""native, server to client: what an account has made that acts without a login."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.replies import AccountMade, MadeCounts
from services.edge.dialects.native.bots import BotInfo, infos
from services.edge.dialects.native.results import LoginResult
from shared.contract.made import Made, MadeHook, MadeLink


class MadeHookInfo(msgspec.Struct):
    """A webhook. `origin`: of the endpoint of an outgoing one; an incoming one has none. `created`: Unix
    milliseconds."""

    hook: str
    chat: int
    name: str
    created: int
    origin: str | UnsetType = UNSET


class MadeLinkInfo(msgspec.Struct):
    """`uses`, `expires`: as `link` returns them. `created`: Unix milliseconds."""

    link: str
    chat: int
    created: int
    uses: int | UnsetType = UNSET
    expires: int | UnsetType = UNSET


class MadeResult(msgspec.Struct):
    """`hooks`, `links`: the newest first, at most 1,000 of each. `bots`: with their valid tokens."""

    hooks: list[MadeHookInfo]
    links: list[MadeLinkInfo]
    bots: list[BotInfo]


class MadeCount(msgspec.Struct):
    """How much the account has made that still acts. `made` lists it, and `end_made` ends all of it."""

    hooks: int
    outgoing_hooks: int
    links: int
    bot_tokens: int


class PasswordResult(LoginResult):
    """`made`: if there is anything, and it is known."""

    made: MadeCount | UnsetType = UNSET


class RecoverResult(msgspec.Struct):
    """`made`: if there is anything, and it is known."""

    made: MadeCount | UnsetType = UNSET


def result(reply: AccountMade) -> MadeResult:
    return MadeResult(hooks(reply.made), links(reply.made), infos([*reply.bots]))


def hooks(made: Made) -> list[MadeHookInfo]:
    return [*map(_hook, made.hooks)]


def links(made: Made) -> list[MadeLinkInfo]:
    return [*map(_link, made.links)]


def count(made: MadeCounts | None) -> MadeCount | UnsetType:
    if made is None or not (made.hooks or made.outgoing_hooks or made.links or made.bot_tokens):
        return UNSET
    return MadeCount(made.hooks, made.outgoing_hooks, made.links, made.bot_tokens)


def _hook(one: MadeHook) -> MadeHookInfo:
    return MadeHookInfo(one.hook, one.chat, one.name, one.created, one.origin or UNSET)


def _link(one: MadeLink) -> MadeLinkInfo:
    return MadeLinkInfo(one.link, one.chat, one.created, one.uses or UNSET, one.expires or UNSET)
