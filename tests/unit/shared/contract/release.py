"""Exact samples of every type that is sent over NATS. They are made from the types alone.

`python -m tests.unit.shared.contract.release` writes the samples of this checkout. Later versions are compared with
them.
"""

from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from local import valkey
from shared.contract import permissions, subjects
from shared.contract.auth import Revocations
from shared.contract.edge import DeliveryBatch, EdgeEvent, Heartbeat, Notify, PresenceIncomplete
from shared.contract.ephemeral import EphemeralEvent
from shared.contract.errors import Failure
from shared.contract.ids import NodeId
from shared.contract.model import DialectTag, PackedSegment

RELEASED = Path(__file__).with_name("released.json")
_ROUTES = [
    *subjects.ROUTES,
    subjects.flush(NodeId("*")),
    subjects.post("*"),
]

PLACES: dict[str, Any] = {
    **{f"{route.subject} request": route.request for route in _ROUTES},
    **{f"{route.subject} reply": route.reply for route in _ROUTES},
    **{topic.subject: topic.event for topic in subjects.TOPICS},
    "refusal": Failure,
    subjects.BROADCAST: DeliveryBatch,
    subjects.HEARTBEAT: Heartbeat,
    subjects.PRESENCE_INCOMPLETE: PresenceIncomplete,
    subjects.AUTH_STATE: Revocations,
    subjects.NOTIFY_ALL: Notify,
    subjects.EPHEMERAL_EVENT: EphemeralEvent,
    "kept event": EdgeEvent,
    "body of a message": tuple[PackedSegment | DialectTag, ...],
}
"""For each subject or stored form, its type."""


class Release(msgspec.Struct):
    """The samples of a release. `encoded` are the samples by place, as msgpack (`said` in the file).

    `rights` are, for each user, its NATS permissions (publish, subscribe), or its keys and commands in Valkey.
    """

    version: str
    encoded: dict[str, list[bytes]] = msgspec.field(name="said")
    rights: dict[str, tuple[list[str], list[str]]]


def present() -> Release:
    return Release(
        version("dragoman"),
        {place: samples(type_) for place, type_ in PLACES.items()},
        {f"nats {user}": (permissions.publishes(user), permissions.subscribes(user)) for user in permissions.BUS_USERS}
        | {f"valkey {user}": (one.keys.split(), one.commands.split()) for user, one in valkey.GRANTS.items()},
    )


_PLAIN: dict[type[inspect.Type], Any] = {
    inspect.NoneType: None,
    inspect.BoolType: True,
    inspect.IntType: 7,
    inspect.FloatType: 0.5,
    inspect.StrType: "text",
    inspect.BytesType: b"bytes",
}


def samples(type_: Any) -> list[bytes]:
    """Returns values of the type.

    Together they have each member of each union and enumeration, and every field, at least once.
    """
    return list(map(msgspec.msgpack.encode, _samples(inspect.type_info(type_))))


def misread(then: list[bytes], type_: Any) -> list[Any]:
    """Returns the samples in `then` that this version cannot decode completely."""
    found = []
    for sample in then:
        try:
            understood = _plain(msgspec.msgpack.encode(msgspec.msgpack.decode(sample, type=type_)))
        except msgspec.ValidationError:
            understood = None
        if not _covers(understood, _plain(sample)):
            found.append(_plain(sample))
    return found


def missed(then: list[bytes], now: list[bytes]) -> list[Any]:
    """Returns the samples of the release, `then`, that no sample of this version, `now`, contains.

    The version of the release may expect them.
    """
    known = list(map(_plain, now))
    return [sample for sample in map(_plain, then) if not any(_covers(one, sample) for one in known)]


def unknown(then: list[bytes], now: list[bytes]) -> list[Any]:
    """Returns the samples in `now` that do not extend a sample in `then`."""
    known = list(map(_plain, then))
    return [sample for sample in map(_plain, now) if not any(_covers(sample, one) for one in known)]


def _covers(new: Any, old: Any) -> bool:
    """Returns whether `new` contains everything in `old` unchanged. `new` may have additional parts."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and _covers(new[key], value) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(new) >= len(old) and all(map(_covers, new, old))
    return type(new) is type(old) and bool(new == old)


def _plain(encoded: bytes) -> Any:
    return msgspec.msgpack.decode(encoded, strict=False)


def _samples(info: inspect.Type, inside: tuple[type[Any], ...] = ()) -> Iterator[Any]:
    """Yields samples of a type. A struct within a struct of the same type has no samples. `inside` are the structs
    around the type."""
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            if cls not in inside:
                yield from _structs(cls, fields, (*inside, cls))
        case inspect.UnionType(types=types):
            for one in types:
                yield from _samples(one, inside)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from [[one] for one in _samples(item, inside)] or [[]]
        case inspect.TupleType(item_types=items):
            yield tuple(next(_samples(item, inside)) for item in items)
        case inspect.DictType(key_type=key, value_type=value):
            yield dict(islice(zip(_samples(key, inside), _samples(value, inside), strict=False), 1))
        case inspect.EnumType(cls=enumeration):
            yield from enumeration
        case inspect.LiteralType(values=values):
            yield from values
        case _:
            yield _PLAIN[type(info)]


def _structs(cls: type[Any], fields: tuple[inspect.Field, ...], inside: tuple[type[Any], ...]) -> Iterator[Any]:
    """Yields samples of a struct: as many as the field with the most samples has.

    The other fields then repeat their first sample.
    """
    columns = [list(_samples(field.type, inside)) for field in fields]
    for number in range(max(map(len, columns), default=1)):
        values = [column[number if number < len(column) else 0] for column in columns]
        yield cls(**{field.name: value for field, value in zip(fields, values, strict=True)})


if __name__ == "__main__":
    RELEASED.write_bytes(msgspec.json.format(msgspec.json.encode(present()), indent=1) + b"\n")
