"""Why a request has no reply of the service."""

from shared.contract.errors import ErrorCode, Failure, RequestError

REPLY_TOO_LARGE = Failure(ErrorCode.TOO_LARGE, "the result is too large for this server")


class Unavailable(RequestError):
    """No reply came in time; whether the request was carried out is unknown."""

    def __init__(self, subject: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the service did not answer in time, please try again")
        self.subject = subject


class NoResponders(Unavailable):
    """No service subscribes to the subject: the request was not carried out."""


class TooLarge(RequestError):
    """NATS has no room for the request (`max_payload`), however often it is repeated. It was not sent."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TOO_LARGE, "the request is too large for this server")
