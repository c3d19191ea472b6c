"""Many small cases in one test, because pytest itself needs longer for a test than such a case does."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

Check = Callable[..., None]


def each(cases: Sequence[Any]) -> Callable[[Check], Callable[[], None]]:
    """Makes one test of a check and its cases, which are values of `pytest.param`.

    All cases are checked. The failures are raised together, each with the id of its case.
    """

    def decorate(check: Check) -> Callable[[], None]:
        def test() -> None:
            assert cases
            failures: list[BaseException] = []
            for case in cases:
                try:
                    check(*case.values)
                except (Exception, pytest.fail.Exception) as failure:
                    failure.add_note(f"in the case {case.id}")
                    failures.append(failure)
            if failures:
                raise BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases fail", failures)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate
