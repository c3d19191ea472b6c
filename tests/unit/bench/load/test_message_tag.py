import pytest

from bench.load import message_tag
from bench.load.message_tag import Tag


def test_a_tag_is_found_wherever_it_stands() -> None:
    written = message_tag.write(2**32 - 1, 7, 8, 2**63)
    assert len(written) == message_tag.SIZE
    assert message_tag.find(b'{"text":"Ann: ' + written + b' and more"}') == Tag(2**32 - 1, 7, 8, 2**63)


@pytest.mark.parametrize("payload", [b"", b"~dgm~", message_tag.write(1, 2, 3, 4)[:-1], b"~dgm~" + b"z" * 40])
def test_a_payload_without_a_tag_has_none(payload: bytes) -> None:
    assert message_tag.find(payload) is None
