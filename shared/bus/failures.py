"""The reasons why a service did not reply to a request."""

from shared.contract.errors import ErrorCode, Failure, RequestError

REPLY_TOO_LARGE = Failure(ErrorCode.TOO_LARGE, "the result is too large for this server")


class Unavailable(RequestError):
    """No reply came in time. It is unknown whether the request was carried out."""

    def __init__(self, subject: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the service did not answer in time, please try again")
        self.subject = subject


class NoResponders(Unavailable):
    """No process subscribes to the subject of the request, so the request was not carried out."""


class TooLarge(RequestError):
    """The request was not sent, because it is larger than NATS permits (`max_payload`). Repeating the request is
    useless."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TOO_LARGE, "the request is too large for this server")
