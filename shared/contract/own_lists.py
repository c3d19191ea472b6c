"""The requests to the session service for the lists that a client keeps. The replies have only lists that have
changed."""

import msgspec

from shared.contract.contacts import Requests
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.own_settings import OwnSettings
from shared.contract.routes import Routed


class OwnLists(msgspec.Struct, frozen=True, omit_defaults=True):
    """The lists whose state differs from the state that the client knows. `friends`: in ascending order, each with the
    `public_updated` of its profile. `requests`: see ListRequests. `blocks`: in ascending order. `changed`: the states
    of the lists that are included."""

    changed: dict[str, int] = {}
    friends: list[tuple[AccountId, int]] | None = None
    requests: Requests | None = None
    blocks: list[AccountId] | None = None
    settings: OwnSettings | None = None


LISTS = OwnLists.__struct_fields__[1:]


class GetOwnLists(msgspec.Struct):
    """A request for changed lists. `known`: for each requested list, by its name in OwnLists, the state that the client
    knows, or 0."""

    route = Routed("session.own_lists", OwnLists, reads=True)
    known: dict[str, int]
    actor: AccountId = NO_ACCOUNT
