"""native: the operations of messages."""

from services.edge.canonical.commands import CountUnread
from services.edge.dialects.native import parameters, requests, results
from services.edge.dialects.native.events import WatchResult
from services.edge.dialects.native.messages import (
    ForwardResult,
    ReactorsParameters,
    ReactorsResult,
    ReadersParameters,
    ReadersResult,
    ReadResult,
    ReportParameters,
    SearchParameters,
    SearchResult,
    UnreadResult,
    find_reactors,
    report,
)
from services.edge.dialects.native.operation import MANAGES, REACTS, READS, SENDS, Operation, RateClass

_READ, _WRITE = RateClass.READ, RateClass.WRITE
_Nothing, _NoParameters = results.Nothing, parameters.NoParameters

MESSAGE_OPERATIONS: tuple[Operation, ...] = (
    Operation("send", "send a message", _WRITE, SENDS, parameters.SendParameters, results.SendResult, requests.send),
    Operation(
        "forward", "send the content of a message to other chats",
        RateClass.EXPENSIVE, SENDS | READS, parameters.ForwardParameters, ForwardResult, requests.forward,
    ),
    Operation(
        "sync", "the chats and messages that the client lacks",
        RateClass.EXPENSIVE, READS, parameters.SyncParameters, results.SyncResult, requests.sync,
    ),
    Operation(
        "history", "a page of messages",
        _READ, READS, parameters.HistoryParameters, results.HistoryResult, requests.history,
    ),
    Operation(
        "changes", "a page of changes of messages",
        _READ, READS, parameters.ChangesParameters, results.ChangesResult, requests.changes,
    ),
    Operation(
        "search", "the messages of the own chats with these words",
        RateClass.EXPENSIVE, READS, SearchParameters, SearchResult, requests.search,
    ),
    Operation(
        "edit", "replace an own message",
        _WRITE, SENDS, parameters.EditParameters, results.ChangeResult, requests.edit,
    ),
    Operation(
        "recall", "remove the content of a message for everybody",
        _WRITE, SENDS, parameters.IndexParameters, results.ChangeResult, requests.recall,
    ),
    Operation(
        "react", "add a reaction",
        _WRITE, REACTS, parameters.ReactParameters, results.ReactResult, requests.react,
    ),
    Operation(
        "unreact", "remove a reaction",
        _WRITE, REACTS, parameters.ReactParameters, results.ReactResult, requests.unreact,
    ),
    Operation(
        "reactors", "the accounts that have reacted to a message",
        RateClass.EXPENSIVE, READS, ReactorsParameters, ReactorsResult, find_reactors,
    ),
    Operation("pin", "pin a message", _WRITE, MANAGES, parameters.IndexParameters, results.ChangeResult, requests.pin),
    Operation(
        "unpin", "unpin a message",
        _WRITE, MANAGES, parameters.IndexParameters, results.ChangeResult, requests.unpin,
    ),
    Operation("report", "report a message", _WRITE, MANAGES, ReportParameters, _Nothing, report),
    Operation(
        "read", "mark the messages up to an index as read",
        _WRITE, READS, parameters.ReadParameters, ReadResult, requests.read,
    ),
    Operation(
        "readers", "the members that have read a message, in groups of at most 500",
        RateClass.EXPENSIVE, READS, ReadersParameters, ReadersResult, requests.readers,
    ),
    Operation(
        "unread", "the numbers of unread messages, and of those that mention the account",
        RateClass.EXPENSIVE, READS, _NoParameters, UnreadResult, lambda *_: CountUnread(),
    ),
    Operation(
        "typing", "show the other members that the account writes a message; best without `id`",
        RateClass.EPHEMERAL, SENDS, parameters.TypingParameters, _Nothing, requests.typing,
    ),
    Operation(
        "watch", "show the presence of these accounts, of friends and members of private chats alone",
        RateClass.EXPENSIVE, READS, parameters.WatchParameters, WatchResult, requests.watch,
    ),
    Operation(
        "here", "the own presence, while this connection lasts",
        RateClass.EPHEMERAL, SENDS, parameters.HereParameters, _Nothing, requests.here,
    ),
)  # fmt: skip
