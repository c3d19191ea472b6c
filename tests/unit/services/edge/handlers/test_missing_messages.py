"""When a client must forget its messages: a database was restored, not when its chats moved to another one."""

import pytest

from services.edge.handlers.missing_messages import is_restored


@pytest.mark.parametrize(
    ("known", "current", "expected"),
    [
        ("a", "a", False),
        ("a", "b", True),
        ("", "a", False),
        ("a", "", False),
        ("first=a", "first=a,second=b", False),
        ("first=a,second=b", "second=b", False),
        ("first=a", "second=b", False),
        ("first=a,second=b", "first=a,second=c", True),
        ("a", "first=a", False),
        ("anything, even = or ,,", "first=a", False),
    ],
)
def test_epochs_of_one_database_are_compared(known: str, current: str, expected: bool) -> None:
    assert is_restored(known, current) is expected
