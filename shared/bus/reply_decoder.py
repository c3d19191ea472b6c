"""Decodes replies: one byte (`+` result, `-` failure) and msgpack."""

from typing import Any, TypeVar

import msgspec

from shared.contract.errors import Failure, RequestError
from shared.contract.routes import Route

R = TypeVar("R")

_decode_failure = msgspec.msgpack.Decoder(Failure).decode


class ReplyDecoder:
    """Keeps a decoder for each type of reply."""

    def __init__(self) -> None:
        self._decoders: dict[type[Any], msgspec.msgpack.Decoder[Any]] = {}

    def decode(self, route: Route[Any, R], data: bytes) -> R:
        """Raises RequestError."""
        body = memoryview(data)[1:]
        if data[:1] == b"-":
            raise RequestError.from_failure(_decode_failure(body))
        decoder = self._decoders.get(route.reply)
        if decoder is None:
            decoder = self._decoders[route.reply] = msgspec.msgpack.Decoder(route.reply)
        answer: R = decoder.decode(body)
        return answer
