"""A user's text cannot become a field of a frame of pipe. `../test_forging.py` tests how all dialects show texts."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.edge.canonical.commands import PostMessage
from services.edge.dialects.pipe.frames import request_of
from services.edge.dialects.pipe.uploads import ChunkedUploads
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Text
from shared.settings.limits import LimitsSettings

ME, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)
LIMITS = LimitsSettings(message_text_bytes=2**18, text_frame_bytes=2**18)

TEXTS = st.text().filter(lambda text: "\0" not in text) | st.text("|｜\r\n\u2028\x85 ab", max_size=12)


@given(TEXTS.filter(bool), st.booleans())
@example("|t", True)
@example("||", False)
def test_a_message_is_sent_unchanged(text: str, group: bool) -> None:
    recipient = CHAT if group else OTHER
    request = request_of(
        f"send_message|{int(group)}|{ME}|{recipient}|0|{text}|a.b.c".encode(), ME, LIMITS, ChunkedUploads()
    )
    assert isinstance(request.command, PostMessage)
    assert request.command.segments == (Text(text),)
    assert (request.command.chat, request.command.to) == ((CHAT, 0) if group else (0, OTHER))
    assert request.token == "a.b.c"
