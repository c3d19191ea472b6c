import pytest

from tests.support.cases import each


def test_each_failing_case_is_named() -> None:
    checked = list[int]()

    @each([pytest.param(number, id=f"number {number}") for number in range(4)])
    def test_even(number: int) -> None:
        checked.append(number)
        with pytest.raises(ZeroDivisionError):
            assert number / (number % 2)

    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases fail") as raised:
        test_even()
    assert [failure.__notes__ for failure in raised.value.exceptions] == [
        ["in the case number 1"],
        ["in the case number 3"],
    ]
    assert checked == [0, 1, 2, 3]
    assert test_even.__name__ == "test_even"
