"""Records which alerts a Prometheus raises during a drill, and when. This Prometheus has the deployed rules."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

ALWAYS = "DragomanWatchdog"
"""An alert that always fires while Prometheus works."""
LONG = frozenset({"DragomanPresenceLost", "DragomanSendsFailFast", "DragomanSendsFailSlow"})
"""Alerts whose rules look back for half an hour or more. That is longer than a step of a drill."""
_PAUSE_SECONDS = 0.5


class NoPrometheus(Exception):
    pass


class Alarm(NamedTuple):
    """An alert that began to fire."""

    alert: str
    at: float


class AlarmLog:
    """Records when each alert began to fire."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.firing: frozenset[str] = frozenset()

    def note(self, now: float, firing: frozenset[str]) -> None:
        """Records the alerts that fire at the time `now`."""
        self.alarms += [Alarm(alert, now) for alert in sorted(firing - self.firing)]
        self.firing = firing

    def between(self, began: float, ended: float) -> list[Alarm]:
        return [one for one in self.alarms if began <= one.at < ended]


def named_alarms(disks: str = "") -> "Alarms | None":
    """Returns the `Alarms` of the Prometheus at DRAGOMAN_PROMETHEUS, or None if the variable is not set.

    `disks`: see Alarms.
    """
    url = os.environ.get("DRAGOMAN_PROMETHEUS")
    return Alarms(url, disks) if url else None


class Alarms:
    """Follows the alerts of the Prometheus at this address.

    An alert about a disk is recorded only if its mount point begins with `disks`. The drill can neither cause nor end
    an alert about another disk.
    """

    def __init__(self, url: str, disks: str = "") -> None:
        self.log = AlarmLog()
        self._url = f"{url}/api/v1/alerts"
        self._disks = disks
        self._news = asyncio.Condition()

    async def follow(self) -> None:
        """Records alerts until this task is cancelled. Raises NoPrometheus."""
        while True:
            firing = await asyncio.to_thread(self._firing)
            async with self._news:
                self.log.note(time.monotonic(), firing)
                self._news.notify_all()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def raised(self, since: float, seconds: float, alert: str = "") -> bool:
        """Waits until this alert has begun to fire after the time `since`. If `alert` is empty, waits for any alert
        except those of LONG.

        Returns False if no such alert fires within `seconds`.
        """

        def began() -> bool:
            found = {one.alert for one in self.log.between(since, float("inf"))}
            return alert in found if alert else bool(found - LONG)

        return await self._until(began, seconds)

    async def quiet(self, seconds: float) -> bool:
        """Waits until no alert fires, except those of LONG.

        Returns False if another alert still fires after `seconds`.
        """
        return await self._until(lambda: self.log.firing <= LONG, seconds)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(condition)
        except TimeoutError:
            return False
        return True

    def _firing(self) -> frozenset[str]:
        try:
            with urllib.request.urlopen(self._url, timeout=10) as reply:  # noqa: S310
                alerts = json.load(reply)["data"]["alerts"]
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # an HTTPError holds an open connection, which is closed here
            raise NoPrometheus(f"no Prometheus answers at {self._url}: {error}") from error
        labels = [one["labels"] for one in alerts if one["state"] == "firing"]
        names = {one["alertname"] for one in labels if one.get("mountpoint", self._disks).startswith(self._disks)}
        return frozenset(names - {ALWAYS})
