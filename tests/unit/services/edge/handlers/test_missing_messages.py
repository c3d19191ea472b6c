"""After the database was restored, a client must forget its messages."""

import pytest

from services.edge.handlers.history import is_restored


@pytest.mark.parametrize(
    ("known", "current", "expected"),
    [("a", "a", False), ("a", "b", True), ("", "a", False), ("a", "", False), ("anything, even = or ,,", "a", True)],
)
def test_epochs_are_compared(known: str, current: str, expected: bool) -> None:
    assert is_restored(known, current) is expected
