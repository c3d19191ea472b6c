"""The header Date of responses."""

import time
from email.utils import formatdate
from functools import lru_cache


def http_date() -> str:
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)
