"""draft/multiline: messages of several lines, which a client sends between `BATCH +name` and `BATCH -name`."""

from dataclasses import dataclass

from services.edge.dialects import validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc.lines import Line, plain, word
from services.edge.dialects.irc.marks import JOINED, Mark
from services.edge.dialects.irc.messages import check_fits, client_tags, send_to
from services.edge.dialects.irc.names import fold
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection
from shared.contract.model import Text

CAPABILITY = "draft/multiline"
_CONCAT = "draft/multiline-concat"
_MOST_BYTES, _MOST_LINES = 16_384, 100


def limits(session: IrcSession) -> str:
    """The value of the capability draft/multiline."""
    return f"max-bytes={_most_bytes(session)},max-lines={_MOST_LINES}"


def _most_bytes(session: IrcSession) -> int:
    return min(_MOST_BYTES, session.info.limits.message_text_bytes)


@dataclass(slots=True)
class OpenBatch:
    """A message whose batch the client has opened. `start`: the line that opened the batch, with the message's tags.
    `rejected`: whether further lines are ignored, because the client has already got an error."""

    name: str
    label: str
    start: Line
    command: str = ""
    raw: str = ""
    lines: int = 0
    rejected: bool = False


def batch(session: IrcSession, line: Line, answer: Answer) -> Lines:
    name, *rest = line.parameters
    opened = session.open_batch
    if name.startswith("+") and len(rest) > 1 and rest[0] == CAPABILITY and session.has(CAPABILITY):
        if opened is not None and not opened.rejected:
            raise _rejected(opened, "MULTILINE_INVALID", "An earlier batch has not ended")
        session.open_batch = OpenBatch(name[1:], answer.label, line)
        answer.label = ""  # the reply with this label is written when the batch is closed
        return ()
    if opened is None or name != f"-{opened.name}":
        raise rejection(answer, "", "There is no such batch", name, fail="INVALID_PARAMS")
    session.open_batch = None
    return () if opened.rejected else _post(session, opened, answer)


def add_line(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Add a PRIVMSG or NOTICE with the tag `batch` to the open batch."""
    opened = session.open_batch
    if opened is None:
        raise rejection(Answer("BATCH", answer.label), "", "There is no such batch", fail="MULTILINE_INVALID")
    if opened.rejected:
        return ()
    text, joined = "".join(line.parameters[1:2]), _CONCAT in line.tags
    if line.tags["batch"] != opened.name:
        raise _rejected(opened, "MULTILINE_INVALID", "A batch has another name")
    if opened.command not in ("", line.command) or (joined and (not text or not opened.lines)):
        raise _rejected(opened, "MULTILINE_INVALID", "This line does not fit into the batch")
    target, named = opened.start.parameters[2], "".join(line.parameters[:1])
    if fold(named) != fold(target):
        raise _rejected(opened, "MULTILINE_INVALID_TARGET", "A batch has one target", target, named)
    check_fits(session, text, [target], Answer(line.command, opened.label))
    opened.raw += ("" if not opened.lines else JOINED if joined else "\n") + text
    opened.lines, opened.command = opened.lines + 1, line.command
    if opened.lines > _MOST_LINES:
        raise _rejected(opened, "MULTILINE_MAX_LINES", "The batch has too many lines", str(_MOST_LINES))
    if len(opened.raw.replace(JOINED, "").encode()) > (most := _most_bytes(session)):
        raise _rejected(opened, "MULTILINE_MAX_BYTES", "The batch is too long", str(most))
    return ()


def line_rejected(session: IrcSession) -> None:
    """Note that a line of the open batch was rejected. A message without one of its lines is not sent."""
    if session.open_batch is not None:
        session.open_batch.rejected = True


def _rejected(opened: OpenBatch, code: str, text: str, *words: str) -> DecodeError:
    opened.rejected = True
    return rejection(Answer("BATCH", opened.label), "", text, *map(word, words), fail=code)


def _post(session: IrcSession, opened: OpenBatch, answer: Answer) -> Lines:
    answer.label = opened.label
    text = plain(opened.raw.replace(JOINED, ""))
    if not text.strip("\n"):
        raise _rejected(opened, "MULTILINE_INVALID", "The batch has no text")
    answer.command = opened.command
    raw = opened.raw if opened.raw != text or "\n\n" in f"\n{text}\n" else ""
    mark = Mark(
        opened.command == "NOTICE", raw,
        client_tags(opened.start) | ({"bot": ""} if "B" in session.user_modes else {}),
    )  # fmt: skip
    segments = validation.message_text((Text(text),), session.info.limits)
    return send_to(session, opened.start.parameters[2], segments, mark, opened.start, answer)
