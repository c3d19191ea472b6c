"""A Redis Cluster for tests: three Valkeys on random loopback ports, each with a third of the slots."""

import time
from pathlib import Path

from redis import Redis

from services.cli.ports import free_port
from services.cli.process_group import ProcessGroup
from shared.settings import RedisSettings
from tests.support.servers import ValkeyServer
from tests.support.waiting import WAIT_SECONDS

_NODES = 3
_SLOTS = 16_384
_POLL_SECONDS = 0.02
_NODE_TIMEOUT_MS = 3_000


class ValkeyClusterNode(ValkeyServer):
    """It keeps its slots over a restart, and no data. `other`: a node with the same passwords, which this one may
    replicate."""

    def __init__(self, directory: Path, process_group: ProcessGroup, other: "ValkeyClusterNode | None" = None) -> None:
        self.bus_port = free_port()
        options = f"cluster-enabled yes\ncluster-port {self.bus_port}\ncluster-node-timeout {_NODE_TIMEOUT_MS}\n"
        if other is not None:
            user, password = other.keeper
            options += f"masteruser {user}\nmasterauth {password}\n"
        super().__init__(
            directory, process_group, options.encode(), passwords=None if other is None else other.passwords
        )

    def meet(self, other: "ValkeyClusterNode") -> None:
        self.perform("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)

    def perform(self, *command: str | int) -> str:
        """As a user that may do everything."""
        with Redis.from_url(self.keeper_url, decode_responses=True) as client:
            return str(client.execute_command(*command))

    def migrate(self, key: str, target: "ValkeyClusterNode") -> None:
        """Moves the key to another node."""
        user, password = target.keeper
        self.perform("MIGRATE", "127.0.0.1", target.port, key, 0, 5_000, "AUTH2", user, password)

    @property
    def id(self) -> str:
        return self.perform("CLUSTER", "MYID")


class ValkeyCluster:
    def __init__(self, directory: Path, process_group: ProcessGroup) -> None:
        directory.mkdir()
        first = ValkeyClusterNode(directory / "node-0", process_group)
        others = (directory / f"node-{number}" for number in range(1, _NODES))
        self.nodes = [first, *(ValkeyClusterNode(one, process_group, first) for one in others)]

    def start(self) -> None:
        """Returns when each node knows who serves which slots."""
        for number, node in enumerate(self.nodes):
            node.start()
            node.perform("CLUSTER", "ADDSLOTSRANGE", _first_slot(number), _first_slot(number + 1) - 1)
            node.perform("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first, *others = self.nodes
        for node in others:
            node.meet(first)
        self.wait_until_whole()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def wait_until_whole(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not all(self._is_whole(node) for node in self.nodes):
            assert time.monotonic() < deadline, self.nodes[0].perform("CLUSTER", "NODES")
            time.sleep(_POLL_SECONDS)

    def make_fresh(self) -> None:
        for node in self.nodes:
            node.make_fresh()
        self.wait_until_whole()

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

    def settings(self, service: str) -> RedisSettings:
        return self.nodes[0].settings(service).model_copy(update={"cluster": True})

    def node_of(self, key: str) -> ValkeyClusterNode:
        """The one that serves the key while no slot has been moved."""
        slot = int(self.nodes[0].perform("CLUSTER", "KEYSLOT", key))
        return next(node for number, node in enumerate(self.nodes) if slot < _first_slot(number + 1))

    def _is_whole(self, node: ValkeyClusterNode) -> bool:
        state = node.perform("CLUSTER", "INFO")
        return "cluster_state:ok" in state and f"cluster_known_nodes:{len(self.nodes)}" in state


def _first_slot(number: int) -> int:
    """Of the node with this number."""
    return _SLOTS * number // _NODES
