"""A separate network in which packets can really be lost. The clients are in one network namespace, behind another one
that routes.

When the router stops forwarding, packets are lost in both directions, and neither end gets an error.
"""

import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

_MISSING = "packets are lost in network namespaces only: needs Linux, root and the command `ip`"


class FarNetwork:
    """The far network. `address` is the address of this machine in the far network."""

    def __init__(self, address: str, router: str, clients: str) -> None:
        self.address = address
        self._router = router
        self._clients = clients

    def lose_packets(self, lost: bool) -> None:
        _run("netns", "exec", self._router, "sh", "-c", f"echo {int(not lost)} > /proc/sys/net/ipv4/ip_forward")

    @contextmanager
    def proxy(self, port: int) -> Iterator[int]:
        """Starts a proxy in the far network that leads to a port of this machine. Yields a local port.

        A connection to the local port reaches this machine from the far network.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            arguments = str(listener.fileno()), self.address, str(port)
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._clients, sys.executable, "-m", "tests.support.far_proxy", *arguments],  # noqa: S607
                pass_fds=[listener.fileno()],
            )
            number: int = listener.getsockname()[1]
        try:
            yield number
        finally:
            process.kill()
            process.wait()


def missing() -> str:
    """Returns the reason why this machine cannot have a far network, or an empty string if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("ip") is None:
        return _MISSING
    probe = f"probe-{secrets.token_hex(3)}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:  # noqa: S607
        return _MISSING
    _run("netns", "delete", probe)
    return ""


@contextmanager
def far_network() -> Iterator[FarNetwork]:
    tag, net = secrets.token_hex(3), f"10.231.{random.randrange(256)}"
    router, clients = f"router-{tag}", f"far-{tag}"
    here, near, away, far = (f"{end}-{tag}" for end in ("here", "near", "away", "far"))
    with ExitStack() as stack:
        for namespace in (router, clients):
            _run("netns", "add", namespace)
            stack.callback(partial(_run, "netns", "delete", namespace))
        _run("link", "add", here, "type", "veth", "peer", near, "netns", router)
        stack.callback(partial(_run, "link", "delete", here))
        _run("-n", router, "link", "add", away, "type", "veth", "peer", far, "netns", clients)
        _run("address", "add", f"{net}.1/30", "dev", here)
        _run("link", "set", here, "up")
        for namespace, device, address in ((router, near, 2), (router, away, 5), (clients, far, 6)):
            _run("-n", namespace, "address", "add", f"{net}.{address}/30", "dev", device)
            _run("-n", namespace, "link", "set", device, "up")
        _run("route", "add", f"{net}.4/30", "via", f"{net}.2")
        _run("-n", clients, "route", "add", "default", "via", f"{net}.5")
        network = FarNetwork(f"{net}.1", router, clients)
        network.lose_packets(False)
        yield network


def _run(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S607
