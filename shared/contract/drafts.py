"""The requests to the message service about the draft of an account in a chat, for the account's other devices."""

import msgspec

from shared.contract.ids import ChatId
from shared.contract.routes import Forwarded, Routed

PREVIEW_CHARACTERS = 120


class SavedDraft(msgspec.Struct, frozen=True):
    """The draft of an account in a chat. `rev`: the time of the last change (Unix milliseconds), different for each
    change; 0 if the draft is empty. `reply_to`: the index of the message to which the draft replies, or 0."""

    rev: int = 0
    text: str = ""
    reply_to: int = 0


class DraftPreview(msgspec.Struct, array_like=True, frozen=True):
    """A SavedDraft with the beginning of its text. `cut`: the text is longer."""

    rev: int
    text: str
    reply_to: int = 0
    cut: bool = False


def preview(draft: SavedDraft) -> DraftPreview:
    text = draft.text[:PREVIEW_CHARACTERS]
    return DraftPreview(draft.rev, text, draft.reply_to, len(text) < len(draft.text))


class DraftSaved(msgspec.Struct, frozen=True):
    """The result of SaveDraft. `conflict`: the draft that another device has stored. In this case, `rev` is 0, and the
    draft was not stored."""

    rev: int = 0
    conflict: SavedDraft | None = None


class SaveDraft(Forwarded):
    """Stores the actor's draft in a chat of which the actor is a member. An empty text removes the draft. `base`: the
    `rev` of the draft that the device has changed; 0 if it had none. The edge has checked the length. A repetition
    changes nothing."""

    route = Routed("message.save_draft", DraftSaved)
    chat: ChatId
    text: str
    reply_to: int = 0
    base: int = 0


class GetDraft(Forwarded):
    """A request for the actor's draft in a chat. The actor may have left the chat."""

    route = Routed("message.draft", SavedDraft, reads=True)
    chat: ChatId
