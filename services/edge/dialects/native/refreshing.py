"""native, both directions: `refresh`."""

from typing import Annotated

import msgspec

from services.edge.dialects.native.parameters import Parameters


class RefreshParameters(Parameters, kw_only=True):
    """`refresh`: of the reply to the login, or to the last `refresh`."""

    refresh: Annotated[str, msgspec.Meta(min_length=1, max_length=128, examples=["6f9619ff8b86.q1w2"])]


class RefreshResult(msgspec.Struct):
    """A new token, for `token`, and a new refresh token; the former one is spent. `expires`, `refresh_expires`: Unix
    milliseconds, by the server's clock, which shows `time`."""

    account: int
    sid: str
    token: str
    expires: int
    refresh: str
    refresh_expires: int
    time: int
