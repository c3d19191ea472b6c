"""Connects each subject to its use case."""

from shared.bus.client import Bus
from shared.contract import subjects as on


def route(bus: Bus) -> None:
    bus.subscribe(on.MOVED_CHATS, lambda data: None)
