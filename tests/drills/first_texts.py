"""Gives changed messages the text with which they were sent, because this text identifies a message in all records.

This module does no I/O.
"""

from collections import defaultdict

from msgspec.structs import replace

from services.edge.dialects.text_fallback import RECALLED
from tests.drills.records import ChangeRequested, DrillRecords, MessageAcknowledged, MessageReceived, Record

_RECALLED = {"", *RECALLED.values()}
"""The texts of a recalled message: in the history, and in the dialects."""


def with_first_texts(recorded: DrillRecords) -> DrillRecords:
    """Replaces the texts that were requested by edits or recalls.

    A text that no user requested is kept, and violates an invariant.
    """
    later: defaultdict[int, set[str]] = defaultdict(set)
    for record in recorded.records:
        if isinstance(record, ChangeRequested) and record.kind in ("edit", "recall"):
            later[record.msg_id] |= {record.value} if record.kind == "edit" else _RECALLED
    if not later:
        return recorded
    first = {
        ack.msg_id: ack.text for ack in recorded.records if isinstance(ack, MessageAcknowledged) and ack.msg_id in later
    }

    def text_of(msg_id: int, shown: str) -> str:
        return first.get(msg_id, shown) if shown in later.get(msg_id, ()) else shown

    def restored(record: Record) -> Record:
        if isinstance(record, MessageReceived) and record.msg_id in later:
            return replace(record, text=text_of(record.msg_id, record.text))
        return record

    history = {
        chat: [
            replace(entry, text=text_of(entry.msg_id, entry.text)) if entry.msg_id in later else entry
            for entry in entries
        ]
        for chat, entries in recorded.history.items()
    }
    return replace(recorded, records=list(map(restored, recorded.records)), history=history)
