"""Commands of the operator on a running system."""

from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tests.support.cluster import Cluster
from tests.support.commands import run_dragoman

_SECONDS = 45.0


def admin(cluster: Cluster, *arguments: str) -> str:
    """Runs `dragoman admin` and returns its output."""
    command = ["admin", *arguments, "--set", f"data={cluster.data}"]
    return run_dragoman(command, cluster.data.with_name("admin.log"), _SECONDS)


def await_ready(cluster: Cluster, name: str, since: int = 0) -> None:
    """Waits until the process with this name is ready, and has another pid than `since`."""
    opener = build_opener(ProxyHandler({}))

    def ready() -> bool:
        running = cluster.process(name)
        if running is None or running.pid == since:
            return False
        try:
            with opener.open(f"http://127.0.0.1:{running.ops}/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

    cluster.wait_for(ready, _SECONDS)
