"""A nats-server whose edges log in as nodes. Auth decides on the permissions of each node."""

import hashlib
import json
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from local import nats
from local.process_group import ProcessGroup
from services.auth.adapters.auth_callout import AuthCallout, public_nkey
from shared.bus.client import Bus
from shared.contract.permissions import AUTH_CALLOUT, NODE_USER
from shared.settings.accounts import CalloutSettings
from shared.settings.servers import NatsSettings
from tests.support.servers import NatsServer

_KEY = "5e" * 32


class NodesNatsServer(NatsServer):
    """A nats-server with the users and permissions that `dragoman secrets` writes.

    It also has the user that empties the server.
    """

    def __init__(self, directory: Path, process_group: ProcessGroup) -> None:
        super().__init__(directory, process_group)
        settings = json.loads(self.config.read_bytes())
        keeper = settings["authorization"]["users"][-1]
        access = json.loads(nats.access(self.passwords, public_nkey(_KEY)))["authorization"]
        access["users"].append(keeper)
        access["auth_callout"]["auth_users"].append(keeper["user"])
        self.config.write_text(json.dumps(settings | {"authorization": access}))

    def settings(self, service: str) -> NatsSettings:
        """Returns the settings of a service. All edges have the same settings, because they share one Secret."""
        settings = super().settings(service)
        return settings.model_copy(update={"user": NODE_USER}) if service == "edge" else settings

    @property
    def callout(self) -> CalloutSettings:
        digest = hashlib.sha256(self.passwords["edge"].encode()).hexdigest()
        return CalloutSettings(key=SecretStr(_KEY), edge_password_sha256=digest)

    def auth(self) -> Bus:
        """Returns the bus of auth, on which auth decides on nodes. The bus is not started."""
        bus = Bus(self.settings("auth"), "auth", CollectorRegistry())
        bus.answer_broker(AUTH_CALLOUT, AuthCallout(self.callout).reply, queue="auth")
        return bus
