"""Bodies of requests that are read as a whole."""

from services.edge.http.request import HttpRequest
from shared.contract.errors import ErrorCode, RequestError


async def read_body(request: HttpRequest, limit: int) -> bytes:
    """Raises ClientDisconnected, and RequestError for more than `limit` bytes."""
    body = b""
    async for data in request.body():
        body += data
        if len(body) > limit:
            raise RequestError(ErrorCode.TOO_LARGE, f"a body has at most {limit} bytes")
    return body.strip()
