"""Metadata of accounts and groups."""

from services.session import domain, list_limits
from services.session.store import metadata
from services.session.store.requests import once
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.metadata import KEY, MOST_BYTES, ListMetadata, MetadataList, MetadataValue, SetMetadata
from shared.transactions import Transactions

_KEYS = 100


class SubjectMetadata:
    """Every method may raise RequestError."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def list_metadata(self, request: ListMetadata) -> MetadataList:
        _check_owner(request)
        list_limits.check_batch_size(request.keys, _KEYS, "keys")
        return MetadataList(await self._database.read(metadata.list_values, request))

    async def set_metadata(self, request: SetMetadata) -> MetadataList:
        _check_owner(request)
        if (request.key or request.value) and not KEY.fullmatch(request.key):
            raise RequestError(ErrorCode.INVALID, "this is no key", "key")
        if len(request.value.encode()) > MOST_BYTES:
            raise RequestError(ErrorCode.TOO_LARGE, f"a value has at most {MOST_BYTES} bytes", "value")
        domain.check_characters("value", request.value, MOST_BYTES)
        change = once(metadata.set_value, list[MetadataValue])
        return MetadataList(await self._database.write(change, request))


def _check_owner(request: ListMetadata | SetMetadata) -> None:
    domain.check_actor(request.actor)
    if request.chat:
        domain.check_chat(request.chat)
    else:
        domain.check_account(request.account)
