"""Groups deliveries that can be handled together. Pure."""

from collections.abc import Iterable, Iterator

from shared.contract.edge import Delivery
from shared.contract.ids import ChatId


def group_runs(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Group consecutive deliveries of one chat that have the same recipients and the same membership version."""
    run: list[Delivery] = []
    chat: ChatId | None = None
    for delivery in deliveries:
        if delivery.message.chat == chat and _same_audience(delivery, run[0]):
            run.append(delivery)
            continue
        if run:
            yield run
        run, chat = [delivery], delivery.message.chat
    if run:
        yield run


def _same_audience(one: Delivery, other: Delivery) -> bool:
    return one.version == other.version and one.recipients == other.recipients
