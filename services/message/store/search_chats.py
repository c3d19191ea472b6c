"""Which of an account's chats a search has to look at: one statement for all of them, even ten thousand.

A chat whose signature lacks one of the terms is left out. A chat without a signature, or with a stale one, is not.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.store.set_statements import SetStatement
from services.message.store.signatures import bits
from shared.contract.ids import ChatId

MAX_TERMS = 8
"""Of a statement; the caller compares the others with the messages."""

_MAY_HAVE = """
    search_heads.last_index > 0 AND heads.last_time > CAST(:after AS bigint) AND (
        lacking.chat_id IS NULL OR search_heads.signed <> search_heads.last_index + search_heads.rev)"""
_LAST_INDEXED = """
    CASE WHEN heads.last_index > search_heads.last_index THEN (
        SELECT time FROM messages WHERE messages.chat_id = heads.chat_id
        AND messages."index" = search_heads.last_index)
    ELSE heads.last_time END"""
_MISSING = """
    CASE WHEN heads.last_index > coalesce(search_heads.last_index, 0) THEN (
        SELECT time FROM messages WHERE messages.chat_id = heads.chat_id
        AND messages."index" = coalesce(search_heads.last_index, 0) + 1) END"""
# Joined with the signatures that lack a term, PostgreSQL compares them where it reads them and hashes only their chats.
_JOINED = """
    LEFT JOIN search_heads ON search_heads.chat_id = heads.chat_id
    LEFT JOIN search_signatures AS lacking ON lacking.chat_id = heads.chat_id AND NOT ({bits})"""
_SURVEY = """
    WITH looked_at AS MATERIALIZED (
        SELECT heads.chat_id AS chat, {last_indexed} AS time, {may_have} AS may_have, {missing} AS missing
        FROM {chats} JOIN heads ON heads.chat_id = one.{chat} {joined}),
    newest AS MATERIALIZED (
        SELECT chat, time FROM looked_at WHERE may_have ORDER BY time DESC, chat DESC LIMIT :most)
    SELECT (SELECT {listed} FROM newest), (SELECT count(*) FROM looked_at WHERE may_have),
        (SELECT min(missing) FROM looked_at)"""
_DIALECTS = {
    "sqlite": {
        "chats": "json_each(:rows) AS one CROSS",
        "chat": "value",
        "listed": "json_group_array(json_array(time, chat))",
    },
    "postgresql": {
        "chats": "unnest(CAST(:a AS bigint[])) AS one (chat_id)",
        "chat": "chat_id",
        "listed": "'[' || coalesce(string_agg('[' || time || ',' || chat || ']', ','), '') || ']'",
    },
}
_CUSTOM_PLAN = sa.text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)"
)
"""For this transaction: a plan for any number of chats looks each of ten thousand up by itself, and to compile it takes
longer than to run it."""
_BITS = {
    "sqlite": "instr(:bit{at}, substr(signature, 1 + :position{at} % length(signature), 1)) > 0",
    "postgresql": (
        "get_bit(signature, CAST(:position{at} AS integer) % octet_length(signature) * 8 + CAST(:bit{at} AS integer))"
        " = 1"
    ),
}
_BITS_OF_TERM = len(bits(""))
_BYTES_WITH = [bytes(byte for byte in range(256) if byte >> bit & 1) for bit in range(8)]
"""The bytes in which this bit is set."""
_decode = msgspec.json.Decoder(list[tuple[int, ChatId]]).decode


class ChatSurvey(NamedTuple):
    """`active`: time of the last indexed message and id of the chats that may have the terms, the last active first,
    the first ones of `number`. `first_missing`: the time of the oldest message in all the chats that is not indexed."""

    active: list[tuple[int, ChatId]]
    number: int
    first_missing: int | None


def survey_chats(
    connection: sa.Connection, chats: Sequence[ChatId], terms: Sequence[str], after: int, most: int
) -> ChatSurvey:
    """Of the chats with messages that were sent after `after` (Unix ms): at least `most`, if there are so many."""
    if not chats:
        return ChatSurvey([], 0, None)
    is_sqlite = connection.dialect.name == "sqlite"
    terms = terms[:MAX_TERMS]
    parameters: dict[str, object] = {"after": after, "most": most}
    for at, (position, bit) in enumerate(bit for term in terms for bit in bits(term)):
        parameters |= {f"position{at}": position, f"bit{at}": _BYTES_WITH[bit] if is_sqlite else bit}
    if not is_sqlite:
        connection.execute(_CUSTOM_PLAN)
    in_order = sorted(chats)  # neighbours are on one page
    ((found, number, missing),) = _statement(len(terms)).fetch(connection, in_order, **parameters)
    active = sorted(_decode(found), reverse=True)
    return ChatSurvey(active, number, missing)


@lru_cache(MAX_TERMS + 1)
def _statement(terms: int) -> SetStatement:
    return SetStatement(sqlite=_text("sqlite", terms), postgresql=_text("postgresql", terms))


def _text(database: str, terms: int) -> str:
    set_bits = " AND ".join(_BITS[database].format(at=at) for at in range(terms * _BITS_OF_TERM))
    joined = _JOINED.format(bits=set_bits)
    return _SURVEY.format(
        last_indexed=_LAST_INDEXED, may_have=_MAY_HAVE, missing=_MISSING, joined=joined, **_DIALECTS[database]
    )
