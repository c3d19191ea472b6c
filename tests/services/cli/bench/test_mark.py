import pytest

from services.cli.bench import mark
from services.cli.bench.mark import Mark


def test_a_mark_is_found_wherever_it_stands() -> None:
    written = mark.write(2**32 - 1, 7, 8, 2**63)
    assert len(written) == mark.SIZE
    assert mark.find(b'{"text":"Ann: ' + written + b'xxx"}') == Mark(2**32 - 1, 7, 8, 2**63)


@pytest.mark.parametrize("payload", [b"", b"~dgm~", mark.write(1, 2, 3, 4)[:-1], b"~dgm~" + b"z" * 40])
def test_what_is_no_mark_is_none(payload: bytes) -> None:
    assert mark.find(payload) is None
