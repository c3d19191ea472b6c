"""Tests the server's own texts in English. The vectors contain them in Chinese."""

import re

import pytest

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import ConnectionInfo
from services.edge.dialects.pipe import frames
from services.edge.dialects.registry import Entry
from services.edge.dialects.text_fallback import render_message
from services.session.domain import default_name
from shared.contract.body import RECALLED_BODY, unpack
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import File, Image, Media, Message, ProfileSummary, Text
from shared.setting_types import Language
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.unit.services.edge.dialects.driving import log_in

_MEDIA = Media("ab", "a.png", 2048, "", "image/png")
_CHINESE = re.compile("[\u3000-\uffff]")


@pytest.mark.parametrize(("language", "image", "file"), [("zh", "[图片]", "[文件]"), ("en", "[image]", "[file]")])
def test_files_as_text(language: Language, image: str, file: str) -> None:
    text = render_message((Text("see"), Image(_MEDIA), File(_MEDIA)), "http://edge", language)
    assert text == f"see {image} a.png http://edge/media/ab {file} a.png (2.0 KB) http://edge/media/ab"


@pytest.mark.parametrize("entry", ALL_DIALECTS, ids=lambda entry: entry.name)
@pytest.mark.parametrize(("language", "text"), [("zh", "[撤回]"), ("en", "[recalled]")])
def test_a_recalled_message(entry: Entry, language: Language, text: str) -> None:
    body = unpack(RECALLED_BODY)
    message = Message(ChatId(5), 8, MessageId(9), AccountId(34), 1724400000456, RECALLED_BODY, Nonce(1))
    shown = DisplayMessage(message, body.segments, ProfileSummary("Bob", "u34"))
    dialect = entry(ConnectionInfo(LimitsSettings(), "http://edge", language=language))
    log_in(dialect, AccountId(12))
    (frame,) = dialect.encode_message(shown)
    assert isinstance(frame, bytes)
    if entry.name == "native":
        assert b'"segments":[]' in frame
        assert b'"recalled":true' in frame
    else:
        assert text in frame.decode()


def test_pipe_has_an_english_text_for_each_reply() -> None:
    texts = [frames.done(command, "en").decode() for command in frames._SUCCESSES]
    texts += [frames.handled("x", accepted, "en").decode() for accepted in (True, False)]
    texts.append(frames.group_created(ChatId(1), "en").decode())
    assert not any(map(_CHINESE.search, texts))
    assert [text.split("|")[0] for text in texts[:3]] == ["register_succ", "update_profile_succ", "up_pass_succ"]


def test_every_dialect_knows_the_language_of_its_connection() -> None:
    info = ConnectionInfo(LimitsSettings(), "http://edge", language="en")
    assert {entry(info).language for entry in ALL_DIALECTS} == {"en"}


def test_names_of_unnamed_groups() -> None:
    assert default_name(["Ann", "Bob"], 99) == "Ann、Bob"
    assert default_name(["Ann", "Bob"], 99, "en") == "Ann, Bob"
