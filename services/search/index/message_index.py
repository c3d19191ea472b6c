"""One index in a directory: a document for each message, and one for each chat that says how far the index has come
with it. A commit writes both, so a killed process leaves neither a gap nor a message twice. No text is stored."""

from collections.abc import Iterable, Iterator, Sequence, Set
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import tantivy
from tantivy import Document, FieldType, Occur, Query, Schema

from services.search.index.documents import kinds_of, segments_of, text_of
from services.search.index.lookups import occurrences
from services.search.text.lookups import Clause
from services.search.text.terms import TERMS_VERSION, index_terms
from shared.contract.following import ChatNews, HeadPosition
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message
from shared.contract.search import ContentKind

FORMAT = f"1 {TERMS_VERSION} {version('tantivy')}"
"""An index of another one is not read."""
_TOKENS = "terms"
_KINDS = {ContentKind.IMAGE: 1, ContentKind.FILE: 2, ContentKind.LINK: 3}
_TIES = 64
"""Messages of the same millisecond that a page can tell apart."""
_HIGHEST = 2**63 - 1


def _schema() -> Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("chat", indexed=True, fast=True)
    builder.add_unsigned_field("place", fast=True)
    builder.add_unsigned_field("time", fast=True)
    builder.add_unsigned_field("sender", indexed=True)
    builder.add_unsigned_field("kind", indexed=True)
    builder.add_text_field("folded", tokenizer_name=_TOKENS, index_option="position")
    builder.add_text_field("loose", tokenizer_name=_TOKENS, index_option="basic")
    builder.add_unsigned_field("head", indexed=True, fast=True)
    builder.add_unsigned_field("rev", fast=True)
    return builder.build()


SCHEMA = _schema()


class SearchedChat(NamedTuple):
    """`first`: the first index that the account may see."""

    chat: ChatId
    first: int


class Wanted(NamedTuple):
    """Messages with all that is required and nothing that is forbidden, of this sender and with all these kinds, sent
    after `after` and before `before` (Unix ms). `place`: time and chat of the message that they come after, the newest
    first."""

    required: Sequence[Clause]
    forbidden: Sequence[Clause] = ()
    sender: AccountId = NO_ACCOUNT
    kinds: Set[ContentKind] = frozenset()
    after: int = 0
    before: int = 0
    place: tuple[int, int] | None = None


class FoundPlace(NamedTuple):
    """The newest are the greatest. `place`: its index."""

    time: int
    chat: ChatId
    place: int


class MessageIndex:
    """Reading and writing may be in different threads; one thread writes. Raises what Tantivy raises."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._memory = memory_bytes
        self._index = tantivy.Index(SCHEMA, path=str(path), reuse=True)
        blanks = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer(_TOKENS, blanks)
        self._index.config_reader("manual")
        self._index.reload()
        self._searcher = self._index.searcher()
        self._writer: tantivy.IndexWriter | None = None
        self._uncommitted: dict[ChatId, HeadPosition] = {}
        self.written = 0
        """Messages since the last commit."""

    @property
    def exists(self) -> bool:
        return (self.path / "meta.json").exists()

    @property
    def documents(self) -> int:
        return int(self._searcher.num_docs)

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    # Writing

    def positions(self, chats: Sequence[ChatId]) -> list[HeadPosition]:
        """How far the index has come with each chat."""
        if not chats:
            return []
        query = Query.term_set_query(SCHEMA, "head", chats)
        hits = self._searcher.search(query, len(chats), count=False).hits
        rows = self._fast_values(hits, "head", "place", "rev")
        known = {chat: HeadPosition(ChatId(chat), index, rev) for chat, index, rev in rows} | self._uncommitted
        return [known.get(chat) or HeadPosition(chat) for chat in chats]

    def write(self, news: Iterable[ChatNews]) -> None:
        """Visible after `commit`."""
        writer = self._open_writer()
        for one in news:
            for message in one.changed:
                writer.delete_documents_by_query(_place_query(message))
            for message in (*one.changed, *one.messages):
                if (document := _document(message)) is not None:
                    writer.add_document(document)
            chat, index, rev = one.position.chat, one.position.index, one.position.rev
            writer.delete_documents_by_query(_term("head", chat))
            head = Document()
            for field, value in (("head", chat), ("place", index), ("rev", rev)):
                head.add_unsigned(field, value)
            writer.add_document(head)
            self._uncommitted[chat] = one.position
            self.written += len(one.changed) + len(one.messages)

    def expire(self, before: int) -> None:
        """Remove messages that were sent before this time (Unix ms)."""
        self._open_writer().delete_documents_by_query(_range("time", 0, before - 1))

    def commit(self) -> None:
        if self._writer is not None:
            self._writer.commit()
            self._index.reload()
            self._searcher = self._index.searcher()
        self._uncommitted.clear()
        self.written = 0

    def give_up(self) -> None:
        """Drop what is not committed."""
        self._writer = None
        self._uncommitted.clear()
        self.written = 0

    def _open_writer(self) -> tantivy.IndexWriter:
        """Its threads have the priority of this one."""
        if self._writer is None:
            self._writer = self._index.writer(self._memory, 1)
            self._writer.garbage_collect_files()  # what a failed commit has left on a full disk
        return self._writer

    # Reading

    def _fast_values(self, hits: Iterable[tuple[Any, tantivy.DocAddress]], *fields: str) -> Iterator[Any]:
        addresses = [address for _, address in hits]
        return zip(*(self._searcher.fast_field_values(field, addresses) for field in fields), strict=True)

    def find(self, wanted: Wanted, chats: Sequence[SearchedChat], limit: int) -> list[FoundPlace]:
        """In these chats, at least one. The newest first, at most `limit`."""
        searcher = self._searcher
        hits = searcher.search(_query(wanted, chats), limit + _TIES, count=False, order_by_field="time").hits
        found = sorted(map(FoundPlace._make, self._fast_values(hits, "time", "chat", "place")), reverse=True)
        return [one for one in found if wanted.place is None or one[:2] < wanted.place][:limit]


def _document(message: Message) -> Document | None:
    """None of a message by which nothing can be found."""
    segments = segments_of(message.body)
    if not segments:
        return None
    text = text_of(segments)
    found = index_terms(text)
    document = Document()
    document.add_unsigned("chat", message.chat)
    document.add_unsigned("place", message.index)
    document.add_unsigned("time", message.time)
    document.add_unsigned("sender", message.sender)
    for kind in kinds_of(segments, text):
        document.add_unsigned("kind", _KINDS[kind])
    if found.folded:
        document.add_text("folded", " ".join(found.folded))
    if found.loose:
        document.add_text("loose", " ".join(found.loose))
    return document


def _term(field: str, value: Any) -> Query:
    return Query.term_query(SCHEMA, field, value, "basic")


def _range(field: str, low: int, high: int) -> Query:
    return Query.range_query(SCHEMA, field, FieldType.Unsigned, low, high)


def _place_query(message: Message) -> Query:
    place = _range("place", message.index, message.index)
    return Query.boolean_query([(Occur.Must, _term("chat", message.chat)), (Occur.Must, place)])


def _query(wanted: Wanted, chats: Sequence[SearchedChat]) -> Query:
    must = [_of_members(chats)]
    if wanted.sender != NO_ACCOUNT:
        must.append(_term("sender", wanted.sender))
    must += [_term("kind", _KINDS[kind]) for kind in wanted.kinds]
    last = min(wanted.before - 1 if wanted.before else _HIGHEST, wanted.place[0] if wanted.place else _HIGHEST)
    if wanted.after or last < _HIGHEST:
        must.append(_range("time", wanted.after + 1, max(last, 0)))
    words = occurrences(SCHEMA, wanted.required, wanted.forbidden)
    return Query.boolean_query([*((Occur.Must, one) for one in must), *words])


def _of_members(chats: Sequence[SearchedChat]) -> Query:
    """Where a membership begins later than the chat, its first index is part of the query: what is left out afterwards
    would show in counts."""
    whole = [one.chat for one in chats if one.first <= 1]
    clauses = [Query.term_set_query(SCHEMA, "chat", whole)] if whole else []
    for chat, first in chats:
        if first > 1:
            visible = [(Occur.Must, _term("chat", chat)), (Occur.Must, _range("place", first, _HIGHEST))]
            clauses.append(Query.boolean_query(visible))
    return Query.boolean_query([(Occur.Should, one) for one in clauses])
