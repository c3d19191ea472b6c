"""A client made with the library pydle: `python pydle_client.py HOST PORT LOGIN`.

It writes the messages that it receives to standard output. It sends the lines of standard input, each of which is a
target and a text.
"""

import asyncio
import sys

import pydle  # type: ignore[import-untyped]


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class PydleClient(pydle.Client):  # type: ignore[misc]
    async def on_connect(self) -> None:
        await super().on_connect()
        self.reading = asyncio.create_task(self.read())

    async def read(self) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            target, _, text = line.rstrip("\n").partition(" ")
            await self.message(target, text)

    async def on_join(self, channel: str, user: str) -> None:
        show(f"{user} joins {channel}")

    async def on_message(self, target: str, by: str, message: str) -> None:
        if by != self.nickname:
            show(f"<{by}> {message}")


async def run(host: str, port: str, login: str) -> None:
    client = PydleClient("user", username="user", realname="A user")
    await client.connect(hostname=host, port=int(port), password=login, tls=False)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
