"""One index in a directory. It has a document for each message. It also has a document for each chat, with the position
up to which the chat is indexed. One commit writes both kinds of documents. So a killed process leaves no gaps and no
duplicates. The text of messages is not stored.

A commit waits for the disk about ten times, and commits of the database on the same disk wait meanwhile. So the index
commits rarely. Until the next commit, searches find new messages in a second index in memory.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from importlib.metadata import version
from itertools import compress
from operator import gt, lt, not_
from pathlib import Path
from typing import Any, NamedTuple

import tantivy
from tantivy import Document, FieldType, Occur, Order, Query, Schema

from services.search.index.documents import kinds_of, segments_of, text_of
from services.search.text.matches import Clause, Lookup
from services.search.text.terms import TERMS_VERSION, index_terms
from shared.contract.following import ChatNews, HeadPosition
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message
from shared.contract.search import ContentKind

FORMAT = f"1 {TERMS_VERSION} {version('tantivy')}"
"""The version of the format; indexes of other versions are not read."""
_TOKENS = "terms"
_KINDS = {ContentKind.IMAGE: 1, ContentKind.FILE: 2, ContentKind.LINK: 3}
_TIES = 64
"""The number of hits that are read in addition to a page. Of several messages with the same time, either all or none
must be used."""
_CANDIDATES, _FURTHER_CANDIDATES = 4_096, 65_536
_HIGHEST = 2**63 - 1
_MEMORY_BYTES = 16 * 2**20
"""The memory of the index in memory. Tantivy accepts no smaller value."""
_COMMIT_MESSAGES, _COMMIT_CHANGES = 50_000, 1_000
"""The most messages and changed messages between two commits. If the process is killed, they are read again."""
_COMMIT_BYTES = 8 * 2**20
"""The most bytes of messages between two commits. The index in memory takes about ten times as much."""
_Hit = tuple[int, int, int]
"""The values of a FoundPlace as a plain tuple. Making thousands of FoundPlaces would take long."""


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


class Wanted(NamedTuple):
    """The conditions for messages. A message has all required terms and no forbidden term, is from this sender and of
    all these kinds, and was sent after `after` and before `before` (Unix ms). The newest messages come first, or the
    oldest if `oldest_first`. `place`: the time and chat of the last message of the previous page, after which the
    search continues."""

    required: Sequence[Clause]
    forbidden: Sequence[Clause] = ()
    sender: AccountId = NO_ACCOUNT
    kinds: Set[ContentKind] = frozenset()
    after: int = 0
    before: int = 0
    place: tuple[int, int] | None = None
    oldest_first: bool = False


class FoundPlace(NamedTuple):
    """The place of a hit in the order of results. Newer messages compare as greater. `place`: the message's index in
    its chat."""

    time: int
    chat: ChatId
    place: int


class IndexInUse(Exception):
    """Another process writes to the index."""


class _View(NamedTuple):
    """The indexes that a search reads. `changed`: messages whose document on disk is outdated, so that only the
    document in memory counts."""

    disk: tantivy.Searcher
    memory: tantivy.Searcher
    changed: Set[tuple[int, int]] = frozenset()


class _TantivyIndex:
    """An index of Tantivy. It is on disk at `path`, or in memory if there is no `path`."""

    def __init__(self, memory_bytes: int, path: Path | None = None) -> None:
        self._memory = memory_bytes
        self._index = tantivy.Index(SCHEMA, path=None if path is None else str(path), reuse=True)
        blanks = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer(_TOKENS, blanks)
        self._index.config_reader("manual")
        self._writer: tantivy.IndexWriter | None = None
        self._read()

    def writer(self) -> tantivy.IndexWriter:
        """The writer of the index. Its threads get the priority of the calling thread. Raises IndexInUse."""
        if self._writer is None:
            try:
                self._writer = self._index.writer(self._memory, 1)
            except ValueError as error:
                if "LockBusy" in str(error):
                    raise IndexInUse from error
                raise
            self._writer.garbage_collect_files()  # a failed commit may have left files that fill the disk
        return self._writer

    def commit(self) -> None:
        if self._writer is not None:
            self._writer.commit()
            self._read()

    def give_up(self) -> None:
        self._writer = None

    def _read(self) -> None:
        self._index.reload()
        self.searcher = self._index.searcher()


class MessageIndex:
    """One thread writes, and other threads may read. Methods may raise the exceptions of Tantivy."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._disk = _TantivyIndex(memory_bytes, path)
        self._memory = _TantivyIndex(_MEMORY_BYTES)
        self._uncommitted: dict[ChatId, HeadPosition] = {}
        self._changed: set[tuple[int, int]] = set()
        """The messages on disk, by chat and index, that have changed since the last commit."""
        self._view = _View(self._disk.searcher, self._memory.searcher)
        self._failure: Exception | None = None
        self.written = 0
        """The number of messages since the last commit."""
        self._written_bytes = 0

    @property
    def exists(self) -> bool:
        return (self.path / "meta.json").exists()

    @property
    def is_commit_due(self) -> bool:
        is_much = self.written >= _COMMIT_MESSAGES or self._written_bytes >= _COMMIT_BYTES
        return is_much or len(self._changed) >= _COMMIT_CHANGES

    @property
    def documents(self) -> int:
        """The number of documents of the index on disk."""
        return int(self._disk.searcher.num_docs)

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    # Writing

    def positions(self, chats: Sequence[ChatId]) -> list[HeadPosition]:
        """The position up to which each chat is indexed."""
        if not chats:
            return []
        query, searcher = Query.term_set_query(SCHEMA, "head", chats), self._disk.searcher
        hits = searcher.search(query, len(chats), count=False).hits
        rows = zip(*_columns(searcher, hits, "head", "place", "rev"), strict=True)
        known = {chat: HeadPosition(ChatId(chat), index, rev) for chat, index, rev in rows} | self._uncommitted
        return [known.get(chat) or HeadPosition(chat) for chat in chats]

    def write(self, news: Iterable[ChatNews], *, are_old: bool = False, breath: float = 0.0) -> None:
        """Write news into the index. Searches find new messages after `show`. If `are_old`, they find the messages only
        after `commit`, except changed messages. `breath`: the length of a pause after each message, in seconds. If the
        disk cannot be written, the next `commit` fails. Raises IndexInUse."""
        if self._failure is None:
            try:
                # if another process has the lock, this raises IndexInUse before anything is written into memory
                self._disk.writer()
            except (ValueError, OSError) as error:
                self._failure = error
        for one in news:
            documents = list[Document | None]()
            for message in (*one.changed, *one.messages):
                self._written_bytes += len(message.body)
                documents.append(_document(message))
                if breath:
                    time.sleep(breath)
            self._changed.update((message.chat, message.index) for message in one.changed)
            # the index in memory must have each changed message, because searches ignore the document on disk
            shown = documents[: len(one.changed)] if are_old else documents
            _replace(self._memory.writer(), one.changed, shown)
            if self._failure is None:
                try:
                    _replace(self._disk.writer(), one.changed, [*documents, _head(one.position)], one.position.chat)
                except (ValueError, OSError) as error:
                    self._failure = error
            self._uncommitted[one.position.chat] = one.position
            self.written += len(documents)

    def expire(self, before: int) -> None:
        """Remove messages that were sent before this time (Unix ms)."""
        self._disk.writer().delete_documents_by_query(_range("time", 0, before - 1))

    def show(self) -> None:
        """Make new messages visible."""
        self._memory.commit()
        self._view = _View(self._disk.searcher, self._memory.searcher, frozenset(self._changed))

    def commit(self) -> None:
        """Write all news to disk. If this fails, new messages stay visible."""
        self.show()
        if self._failure is not None:
            raise self._failure
        self._disk.commit()
        self._drop_uncommitted()
        self._view = _View(self._disk.searcher, self._memory.searcher)

    def give_up(self) -> None:
        """Drop uncommitted changes. Changes that are visible stay visible until the next `show`."""
        self._disk.give_up()
        self._drop_uncommitted()

    def _drop_uncommitted(self) -> None:
        self._memory = _TantivyIndex(_MEMORY_BYTES)
        self._uncommitted.clear()
        self._changed.clear()
        self._failure = None
        self.written = self._written_bytes = 0

    # Reading

    def find(self, wanted: Wanted, chats: Mapping[ChatId, int], limit: int) -> list[FoundPlace]:
        """Finds at most `limit` messages in these chats, in the wanted order. `chats` has for each chat the first index
        that may be found.

        If some chats have messages from before the membership, candidates are read and compared with the first indexes.
        The number of candidates is always the same. So the time taken does not show how many of them are left out,
        unless there are thousands. Conditions in the query are not used for all chats, because each would take a
        quarter of a millisecond.
        """
        view, found, left, late = self._view, list[FoundPlace](), list(chats), dict[ChatId, int]()
        precedes, last_time, any_chat = (lt, _HIGHEST, 0) if wanted.oldest_first else (gt, 0, _HIGHEST)
        size = _CANDIDATES if any(first > 1 for first in chats.values()) else limit + _TIES
        while True:
            hits = _first(view, wanted, left, late, size)
            are_all = len(hits) < size
            if not are_all and hits[0][0] == hits[-1][0]:
                size *= 4  # all hits have the same time, and there may be more messages of that time
                continue
            end = last_time if are_all else hits[-1][0]
            are_visible = [chats[ChatId(chat)] <= place for _, chat, place in hits]
            seen = [
                FoundPlace(time, ChatId(chat), place)
                for time, chat, place in compress(hits, are_visible)
                if precedes(time, end)
            ]
            further = [one for one in seen if wanted.place is None or precedes(wanted.place, one[:2])]
            found += sorted(further, reverse=not wanted.oldest_first)
            if are_all or len(found) >= limit:
                return found[:limit]
            # If a message of a chat is hidden, all earlier messages of the chat have lower indexes and are also hidden.
            # Among later messages, those that are not hidden are found by a condition.
            passed = {ChatId(chat) for _, chat, _ in compress(hits, map(not_, are_visible))}
            left, size = [chat for chat in left if chat not in passed], _FURTHER_CANDIDATES
            if wanted.oldest_first:
                late |= {chat: chats[chat] for chat in passed}
            wanted = wanted._replace(place=(end, any_chat))


def _first(view: _View, wanted: Wanted, chats: Sequence[ChatId], late: Mapping[ChatId, int], count: int) -> list[_Hit]:
    """The first hits of both indexes in the wanted order. `late`: further chats, with the first index of each."""
    disk, memory, changed = view
    query = _query(wanted, chats, late)
    order = Order.Asc if wanted.oldest_first else Order.Desc
    old, new = _hits(disk, query, order, count + len(changed)), _hits(memory, query, order, count)
    if changed:
        old = [hit for hit in old if hit[1:] not in changed]
    return sorted(old + new, reverse=not wanted.oldest_first)[:count] if new else old[:count]


def _hits(searcher: tantivy.Searcher, query: Query, order: Order, count: int) -> list[_Hit]:
    hits = searcher.search(query, count, count=False, order_by_field="time", order=order).hits
    return list(zip((time for time, _ in hits), *_columns(searcher, hits, "chat", "place"), strict=True))


def _columns(searcher: tantivy.Searcher, hits: Iterable[tuple[Any, tantivy.DocAddress]], *fields: str) -> Iterator[Any]:
    """The values of these fields. `hits` must be from this searcher, because a new searcher after a commit has other
    addresses."""
    addresses = [address for _, address in hits]
    return (searcher.fast_field_values(field, addresses) for field in fields)


def _document(message: Message) -> Document | None:
    """The document of a message; None for a message without text or files."""
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


def _head(position: HeadPosition) -> Document:
    document = Document()
    for field, value in (("head", position.chat), ("place", position.index), ("rev", position.rev)):
        document.add_unsigned(field, value)
    return document


def _replace(
    writer: tantivy.IndexWriter, changed: Iterable[Message], documents: Iterable[Document | None], chat: int = 0
) -> None:
    """Deletes the documents of the changed messages and the position of this chat, and adds the new documents."""
    for message in changed:
        writer.delete_documents_by_query(_place_query(message))
    if chat:
        writer.delete_documents_by_query(_term("head", chat))
    for document in filter(None, documents):
        writer.add_document(document)


def _term(field: str, value: Any) -> Query:
    return Query.term_query(SCHEMA, field, value, "basic")


def _range(field: str, low: int, high: int) -> Query:
    return Query.range_query(SCHEMA, field, FieldType.Unsigned, low, high)


def _chats_query(chats: Sequence[ChatId], late: Mapping[ChatId, int]) -> Query:
    anywhere = Query.term_set_query(SCHEMA, "chat", chats)
    if not late:
        return anywhere
    parts = [
        Query.boolean_query([(Occur.Must, _term("chat", chat)), (Occur.Must, _range("place", first, _HIGHEST))])
        for chat, first in late.items()
    ]
    return Query.boolean_query([(Occur.Should, one) for one in (anywhere, *parts)])


def _place_query(message: Message) -> Query:
    place = _range("place", message.index, message.index)
    return Query.boolean_query([(Occur.Must, _term("chat", message.chat)), (Occur.Must, place)])


def _query(wanted: Wanted, chats: Sequence[ChatId], late: Mapping[ChatId, int]) -> Query:
    must = [_chats_query(chats, late)]
    if wanted.sender != NO_ACCOUNT:
        must.append(_term("sender", wanted.sender))
    must += [_term("kind", _KINDS[kind]) for kind in wanted.kinds]
    first, last = wanted.after + 1, wanted.before - 1 if wanted.before else _HIGHEST
    if wanted.place is not None:
        time = wanted.place[0]
        first, last = (max(first, time), last) if wanted.oldest_first else (first, min(last, time))
    if first > 1 or last < _HIGHEST:
        must.append(_range("time", first, max(last, 0)))
    words = _occurrences(SCHEMA, wanted.required, wanted.forbidden)
    return Query.boolean_query([*((Occur.Must, one) for one in must), *words])


Occurrence = tuple[Occur, Query]

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def _occurrences(schema: Schema, required: Iterable[Clause], forbidden: Iterable[Clause]) -> list[Occurrence]:
    """Builds the parts of a boolean query."""
    found = [(Occur.Must, _clause(schema, one)) for one in required]
    return found + [(Occur.MustNot, _clause(schema, one)) for one in forbidden]


def _clause(schema: Schema, clause: Clause) -> Query:
    if len(clause) == 1:
        return _lookup(schema, clause[0])
    return Query.boolean_query([(Occur.Should, _lookup(schema, one)) for one in clause])


def _lookup(schema: Schema, lookup: Lookup) -> Query:
    field, terms, is_prefix = lookup
    if not is_prefix:
        return _phrase(schema, field, terms)
    *before, last = terms
    beginning = _SPECIAL.sub(r"\\\g<0>", last) + ".*"
    if not before:
        return Query.regex_query(schema, field, beginning)
    words = [*(_SPECIAL.sub(r"\\\g<0>", one) for one in before), beginning]
    return Query.regex_phrase_query(schema, field, list(words))


def _phrase(schema: Schema, field: str, terms: Sequence[str]) -> Query:
    if len(terms) == 1:
        return Query.term_query(schema, field, terms[0], "basic")
    return Query.phrase_query(schema, field, list(terms))
