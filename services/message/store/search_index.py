"""Writes the search index from the messages of the same database, after their commit.

The index has come as far with a chat as its row in `search_heads` says. What is read and what is written are two
transactions, so that no lock is held while texts are taken apart; the second one writes nothing for a chat that another
process has indexed, or that was removed, meanwhile.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.message.search_terms import message_terms
from services.message.store.set_statements import SetStatement, single_column
from services.message.store.signatures import SIGNED_MESSAGES, extended, sign
from services.message.store.snapshot import Slot, Snapshot
from shared.contract.ids import ChatId

EVERY_CHAT = 2**63 - 1
_REMOVED = 100
"""Documents in one transaction."""
_SIGNED_AT_ONCE = 8
"""Indexed documents that a new signature is made from, for the work of one new document."""

_PAGE = sa.text("""
    SELECT count(*), max(chat_id) FROM
    (SELECT chat_id FROM heads WHERE chat_id > :after ORDER BY chat_id LIMIT :page) AS page""")
_BEHIND = sa.text("""
    SELECT heads.chat_id, heads.last_index, heads.rev,
        coalesce(search_heads.last_index, 0), coalesce(search_heads.rev, 0), coalesce(search_heads.signed, 0)
    FROM heads LEFT JOIN search_heads ON search_heads.chat_id = heads.chat_id
    WHERE heads.chat_id > :after AND heads.chat_id <= :last
        AND (heads.last_index > coalesce(search_heads.last_index, 0) OR heads.rev > coalesce(search_heads.rev, 0)
            OR search_heads.signed <> search_heads.last_index + search_heads.rev)
    ORDER BY heads.chat_id""")
_ORPHANS = sa.text("""
    SELECT search_heads.chat_id FROM search_heads LEFT JOIN heads ON heads.chat_id = search_heads.chat_id
    WHERE search_heads.chat_id > :after AND search_heads.chat_id <= :last AND heads.chat_id IS NULL
    ORDER BY search_heads.chat_id""")
_ANY_INDEXED = sa.text("SELECT chat_id FROM search_heads ORDER BY chat_id LIMIT 1")
_CHANGED = sa.text("""
    SELECT "index", rev FROM revisions
    WHERE chat_id = :chat AND rev > :after AND rev <= :upto AND slot = :slot AND "index" <= :last
    ORDER BY rev LIMIT :limit""")
_CREATE_HEADS = SetStatement(
    sqlite="""
        INSERT INTO search_heads (chat_id, last_index, rev) SELECT value ->> 0, 0, 0 FROM json_each(:rows) WHERE true
        ON CONFLICT DO NOTHING""",
    postgresql="""
        INSERT INTO search_heads (chat_id, last_index, rev)
        SELECT chat_id, 0, 0 FROM unnest(CAST(:a AS bigint[])) AS made (chat_id) ORDER BY chat_id
        ON CONFLICT DO NOTHING""",
)
_LOCK_HEADS = SetStatement(
    sqlite="""
        SELECT chat_id, last_index, rev FROM search_heads
        WHERE chat_id IN (SELECT value ->> 0 FROM json_each(:rows))""",
    postgresql="""
        SELECT chat_id, last_index, rev FROM search_heads WHERE chat_id = ANY(CAST(:a AS bigint[]))
        ORDER BY chat_id FOR UPDATE""",
)
_UPDATE_HEADS = SetStatement(
    sqlite="""
        UPDATE search_heads SET last_index = found.last_index, rev = found.rev, signed = found.last_index + found.rev
        FROM (SELECT value ->> 0 AS chat_id, value ->> 1 AS last_index, value ->> 2 AS rev FROM json_each(:rows))
        AS found WHERE search_heads.chat_id = found.chat_id""",
    postgresql="""
        UPDATE search_heads SET last_index = found.last_index, rev = found.rev, signed = found.last_index + found.rev
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]))
        AS found (chat_id, last_index, rev) WHERE search_heads.chat_id = found.chat_id""",
)
_SIGNATURES = SetStatement(
    sqlite="SELECT chat_id, signature FROM json_each(:rows) AS one CROSS JOIN search_signatures ON chat_id = one.value",
    postgresql="SELECT chat_id, signature FROM search_signatures WHERE chat_id = ANY(CAST(:a AS bigint[]))",
)
_WRITE_SIGNATURES = sa.text("""
    INSERT INTO search_signatures (chat_id, signature) VALUES (:chat, :signature)
    ON CONFLICT (chat_id) DO UPDATE SET signature = excluded.signature""")
_DELETE_SIGNATURES = SetStatement(
    sqlite="DELETE FROM search_signatures WHERE chat_id IN (SELECT value FROM json_each(:rows))",
    postgresql="DELETE FROM search_signatures WHERE chat_id = ANY(CAST(:a AS bigint[]))",
)
_TERMS_OF_CHAT = sa.text('SELECT "index", terms FROM search_documents WHERE chat_id = :chat AND "index" <= :last')
_DELETE_HEAD = sa.text("DELETE FROM search_heads WHERE chat_id = :chat")
_DOCUMENTS = SetStatement(
    sqlite="""
        SELECT chat_id, "index", time, terms FROM json_each(:rows) AS place CROSS JOIN search_documents
        ON chat_id = place.value ->> 0 AND "index" = place.value ->> 1""",
    postgresql="""
        SELECT chat_id, index, time, terms FROM search_documents
        WHERE (chat_id, index) IN (SELECT * FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])))""",
)
_DOCUMENTS_OF_CHAT = sa.text('SELECT "index" FROM search_documents WHERE chat_id = :chat ORDER BY "index" LIMIT :limit')
_DELETE_DOCUMENTS = SetStatement(
    sqlite="""
        DELETE FROM search_documents
        WHERE (chat_id, "index") IN (SELECT value ->> 0, value ->> 1 FROM json_each(:rows))""",
    postgresql="""
        DELETE FROM search_documents
        WHERE (chat_id, index) IN (SELECT * FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])))""",
)
_DELETE_ENTRIES = SetStatement(
    sqlite="""
        DELETE FROM search_entries WHERE (chat_id, term, time) IN
        (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:rows))""",
    postgresql="""
        DELETE FROM search_entries WHERE (chat_id, term, time) IN
        (SELECT * FROM unnest(CAST(:a AS bigint[]), CAST(:b AS text[]), CAST(:c AS bigint[])))""",
)
_INSERT_DOCUMENTS = SetStatement(
    sqlite="""
        INSERT INTO search_documents (chat_id, "index", time, terms)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:rows) WHERE true
        ON CONFLICT DO NOTHING""",
    postgresql="""
        INSERT INTO search_documents (chat_id, index, time, terms)
        SELECT * FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]))
        ON CONFLICT DO NOTHING""",
)
# From the rows of _INSERT_DOCUMENTS. A term has no quotes; LIMIT keeps SQLite from taking a row apart for each term.
_INSERT_ENTRIES = SetStatement(
    sqlite="""
        INSERT INTO search_entries (chat_id, term, time, "index")
        SELECT chat, term.value, time, place FROM (
            SELECT value ->> 0 AS chat, value ->> 1 AS place, value ->> 2 AS time,
                '["' || replace(value ->> 3, ' ', '","') || '"]' AS terms
            FROM json_each(:rows) LIMIT -1 OFFSET 0) AS document
        CROSS JOIN json_each(document.terms) AS term WHERE true
        ON CONFLICT DO NOTHING""",
    postgresql="""
        INSERT INTO search_entries (chat_id, term, time, index)
        SELECT chat, term, time, place
        FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[]), CAST(:d AS text[]))
        AS document (chat, place, time, terms) CROSS JOIN LATERAL unnest(string_to_array(terms, ' ')) AS term
        ON CONFLICT DO NOTHING""",
)


class Indexed(NamedTuple):
    """How far the index has come with a chat."""

    last_index: int
    rev: int


class Behind(NamedTuple):
    """A chat with messages or changes that the index lacks. `head`: as far as there is something to index. `is_signed`:
    whether its signature is right for what is indexed."""

    chat: ChatId
    head: Indexed
    indexed: Indexed
    is_signed: bool

    @property
    def is_done(self) -> bool:
        return self.is_signed and self.indexed == self.head


class IndexPage(NamedTuple):
    """A range of chats. `orphans`: indexed chats that are no longer in the database. `last`: the next page begins after
    this chat; None: this was the last page."""

    behind: list[Behind]
    orphans: list[ChatId]
    last: int | None


class Document(NamedTuple):
    """A message; `place`: its index."""

    chat: ChatId
    place: int
    time: int
    terms: frozenset[str]


class IndexBatch(NamedTuple):
    """New documents, and documents that replace earlier ones, which may have had other terms. `chats`: how far the
    index had come with each, and how far it has come with this batch. `signatures`: of each chat; None: it has none."""

    chats: Mapping[ChatId, tuple[Indexed, Indexed]]
    documents: Sequence[Document]
    changed: Collection[tuple[ChatId, int]]
    signatures: Mapping[ChatId, bytes | None]


# What the index lacks


def find_page(connection: sa.Connection, after: int, page: int) -> IndexPage:
    """Of the next `page` chats after the chat `after`."""
    count, highest = connection.execute(_PAGE, {"after": after, "page": page}).one()
    last = highest if count == page else EVERY_CHAT
    span = {"after": after, "last": last}
    behind = [
        Behind(ChatId(chat), Indexed(index, rev), Indexed(indexed, indexed_rev), signed == indexed + indexed_rev)
        for chat, index, rev, indexed, indexed_rev, signed in connection.execute(_BEHIND, span)
    ]
    orphans = [ChatId(chat) for chat in connection.scalars(_ORPHANS, span)]
    return IndexPage(behind, orphans, last if count == page else None)


def read_batch(connection: sa.Connection, behind: Iterable[Behind], rows: int) -> IndexBatch:
    """What is to be written for these chats, as far as it is no more than about `rows` messages."""
    chats: dict[ChatId, tuple[Indexed, Indexed]] = {}
    unsigned: set[ChatId] = set()
    spans: list[tuple[ChatId, int, int]] = []
    changed: set[tuple[ChatId, int]] = set()
    for one in behind:
        if rows <= 0:
            break
        indexes, rev = _changed(connection, one, rows)
        rows -= len(indexes)
        upto = min(one.head.last_index, one.indexed.last_index + max(rows, 0))
        rows -= upto - one.indexed.last_index
        changed |= {(one.chat, index) for index in indexes}
        spans += [(one.chat, index, index) for index in sorted(indexes)]
        spans += [(one.chat, one.indexed.last_index + 1, upto)] if upto > one.indexed.last_index else []
        chats[one.chat] = (one.indexed, Indexed(upto, rev))
        if indexes or not one.is_signed:
            unsigned.add(one.chat)
            rows -= min(one.indexed.last_index, SIGNED_MESSAGES) // _SIGNED_AT_ONCE
        rows -= 1
    messages = Snapshot(connection).messages(spans) if spans else ()
    documents = [
        Document(one.chat, one.index, one.time, frozenset(message_terms(one.sender, one.body))) for one in messages
    ]
    batch = IndexBatch(chats, documents, changed, {})
    return batch._replace(signatures=_signatures(connection, batch, unsigned))


def _signatures(
    connection: sa.Connection, batch: IndexBatch, unsigned: Collection[ChatId]
) -> dict[ChatId, bytes | None]:
    """`unsigned`: chats whose signature is not right, or will not be when the changed documents are replaced."""
    short = [chat for chat, (_, upto) in batch.chats.items() if upto.last_index <= SIGNED_MESSAGES]
    stored = {ChatId(chat): bytes(found) for chat, found in _SIGNATURES.fetch(connection, short)} if short else {}
    terms: dict[ChatId, set[str]] = {chat: set() for chat in short}
    for one in batch.documents:
        if one.chat in terms:
            terms[one.chat] |= one.terms
    signatures: dict[ChatId, bytes | None] = dict.fromkeys(batch.chats)
    for chat in short:
        is_new = batch.chats[chat][0].last_index == 0
        signature = extended(stored[chat], terms[chat]) if chat in stored and chat not in unsigned else None
        if signature is None and (is_new or chat in stored or chat in unsigned):
            signature = sign(terms[chat] | _indexed_terms(connection, chat, batch))
        signatures[chat] = signature
    return signatures


def _indexed_terms(connection: sa.Connection, chat: ChatId, batch: IndexBatch) -> set[str]:
    """Of the documents that stay as they are."""
    last = batch.chats[chat][0].last_index
    found = connection.execute(_TERMS_OF_CHAT, {"chat": chat, "last": last}).all() if last else ()
    return {term for index, terms in found if (chat, index) not in batch.changed for term in terms.split(" ")}


def _changed(connection: sa.Connection, behind: Behind, rows: int) -> tuple[set[int], int]:
    """Indexes of messages in the index whose text has changed, and the `rev` up to which they are all."""
    chat, head, indexed, _ = behind
    if head.rev <= indexed.rev:
        return set(), indexed.rev
    span = {"chat": chat, "after": indexed.rev, "upto": head.rev, "last": indexed.last_index}
    found = connection.execute(_CHANGED, {**span, "slot": Slot.TEXT, "limit": rows}).all()
    return {index for index, _ in found}, found[-1][1] if len(found) == rows else head.rev


# Writing


def write_batch(connection: sa.Connection, batch: IndexBatch) -> int:
    """Returns the number of documents written."""
    rows = single_column(sorted(batch.chats))
    if not rows:
        return 0
    _CREATE_HEADS.run(connection, rows)
    stored = {ChatId(chat): Indexed(index, rev) for chat, index, rev in _LOCK_HEADS.fetch(connection, rows)}
    present = Snapshot(connection).heads(batch.chats)
    written = {chat: upto for chat, (before, upto) in batch.chats.items() if stored[chat] == before and chat in present}
    remove(connection, [place for place in batch.changed if place[0] in written])
    documents = [one for one in batch.documents if one.chat in written and one.terms]
    if documents:
        made = [(*one[:3], " ".join(sorted(one.terms))) for one in documents]
        _INSERT_DOCUMENTS.run(connection, made)
        _INSERT_ENTRIES.run(connection, made)
    if written:
        _UPDATE_HEADS.run(connection, [(chat, *upto) for chat, upto in written.items()])
        _write_signatures(connection, {chat: batch.signatures[chat] for chat in written})
    return len(documents)


def _write_signatures(connection: sa.Connection, signatures: Mapping[ChatId, bytes | None]) -> None:
    made = [{"chat": chat, "signature": signature} for chat, signature in signatures.items() if signature is not None]
    if made:
        connection.execute(_WRITE_SIGNATURES, made)
    if len(made) < len(signatures):
        _DELETE_SIGNATURES.run(connection, [chat for chat, signature in signatures.items() if signature is None])


def remove(connection: sa.Connection, places: Collection[tuple[ChatId, int]]) -> None:
    """Remove these messages (chat and index) from the index, as far as they are in it."""
    rows: list[tuple[ChatId, int]] = sorted(places)
    found = _DOCUMENTS.fetch(connection, rows) if rows else ()
    if not found:
        return
    entries = sorted((chat, term, time) for chat, _, time, terms in found for term in terms.split(" "))
    _DELETE_ENTRIES.run(connection, entries)
    _DELETE_DOCUMENTS.run(connection, [(chat, index) for chat, index, *_ in found])


def remove_some(connection: sa.Connection, chat: ChatId) -> bool:
    """Remove some messages of the chat from the index, then its head; returns whether that is done."""
    indexes = connection.scalars(_DOCUMENTS_OF_CHAT, {"chat": chat, "limit": _REMOVED}).all()
    remove(connection, [(chat, index) for index in indexes])
    if len(indexes) == _REMOVED:
        return False
    _DELETE_SIGNATURES.run(connection, [chat])
    connection.execute(_DELETE_HEAD, {"chat": chat})
    return True


def first_indexed(connection: sa.Connection) -> ChatId | None:
    found = connection.execute(_ANY_INDEXED).scalar_one_or_none()
    return None if found is None else ChatId(found)
