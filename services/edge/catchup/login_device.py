"""The device of a login, for dialects whose devices get their own missed messages."""

from services.edge.rpc.retrying import request_until_answered
from shared.bus.client import Bus
from shared.contract.errors import RequestError
from shared.contract.ids import NO_DEVICE, AccountId
from shared.contract.message import OpenDevice
from shared.telemetry import log

_log = log(__name__)


class LoginDevice:
    """`name`: see Dialect.device. `number`: NO_DEVICE if only the deliveries to the account are noted: before `open`,
    without a name, and after a failure."""

    __slots__ = ("name", "number")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.number = NO_DEVICE

    async def open(self, bus: Bus, account: AccountId) -> None:
        """The account's deliveries must be committed before, because a new device begins with these."""
        if not self.name or self.number:
            return
        try:
            self.number = (await request_until_answered(bus, OpenDevice(account, self.name))).device
        except RequestError as error:
            _log.warning("a device gets no missed messages of its own", account=account, error=str(error))

    def missed_some(self) -> None:
        """Note that some messages cannot be read now. A later delivery then does not mean that they have arrived."""
        self.name, self.number = "", NO_DEVICE
