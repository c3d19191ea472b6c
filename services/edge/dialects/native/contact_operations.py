"""native: the operations of people."""

from services.edge.dialects.native import parameters, requests, results
from services.edge.dialects.native.operation import MANAGES, READS, Operation, RateClass
from shared.contract.contacts import ListBlocked, ListRequests

_READ, _WRITE = RateClass.READ, RateClass.WRITE
_Nothing, _NoParameters = results.Nothing, parameters.NoParameters

CONTACT_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "profile", "the profile of an account",
        _READ, READS, parameters.AccountParameters, results.ProfileResult, requests.profile,
    ),
    Operation(
        "set_profile", "change the own profile",
        _WRITE, MANAGES, parameters.ProfileParameters, _Nothing, requests.set_profile,
    ),
    Operation(
        "find", "the accounts that have this whole number, username or e-mail address",
        RateClass.EXPENSIVE, READS, parameters.FindParameters, results.FindResult, requests.find,
    ),
    Operation("friends", "list the friends", _READ, READS, _NoParameters, results.FriendsResult, requests.friends),
    Operation(
        "requests", "list the requests of others",
        _READ, READS, _NoParameters, results.RequestsResult, lambda *_: ListRequests(),
    ),
    Operation(
        "befriend", "send a friend request",
        _WRITE, MANAGES, parameters.BefriendParameters, _Nothing, requests.befriend,
    ),
    Operation(
        "answer_friend", "answer a friend request",
        _WRITE, MANAGES, parameters.AnswerFriendParameters, _Nothing, requests.answer_friend,
    ),
    Operation(
        "unfriend", "end a friendship",
        _WRITE, MANAGES, parameters.AccountParameters, _Nothing, requests.unfriend,
    ),
    Operation(
        "block", "reject private messages and friend requests of an account",
        _WRITE, MANAGES, parameters.AccountParameters, _Nothing, requests.block,
    ),
    Operation("unblock", "do so no more", _WRITE, MANAGES, parameters.AccountParameters, _Nothing, requests.unblock),
    Operation(
        "blocks", "list the blocked accounts",
        _READ, READS, _NoParameters, results.BlocksResult, lambda *_: ListBlocked(),
    ),
)  # fmt: skip
