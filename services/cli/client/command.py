"""`dragoman client`: a line client for the terminal."""

import sys

import click

from clients.codec import CODECS
from clients.codec.base import Codec
from clients.errors import ClientError
from services.cli.client.commands import ChatCommands
from services.cli.client.conversation import Conversation
from services.cli.client.terminal import Terminal

DIALECTS = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "service", "pipe", "native")
_INTERRUPTED = 130
_QUIT = ("/quit", "/exit")


@click.command()
@click.argument("server", metavar="[URL]", default="ws://127.0.0.1:8080")
@click.option(
    "--dialect", type=click.Choice(DIALECTS), default="ourchat-v2", show_default=True, help="The protocol to speak."
)
@click.option("--frames", is_flag=True, help="Show the frames of both directions as they are, with the passwords.")
def client(server: str, dialect: str, frames: bool) -> None:
    """Chat in a terminal, in any of the protocols.

    URL is the address of an edge: ws://HOST:PORT (default ws://127.0.0.1:8080), wss://HOST or, for plain TCP,
    tcp://HOST:PORT. Lines are messages to the current chat; lines that begin with / are commands, and /help lists
    them. A script can pipe lines in: the client ends with its input, and the exit status is 1 when a line has failed.
    """
    terminal = Terminal()
    session = ChatSession(server, CODECS[dialect], terminal, frames=frames)
    try:
        session.run()
    except ClientError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        terminal.show("")
        sys.exit(_INTERRUPTED)
    if session.status and not terminal.is_interactive:
        sys.exit(session.status)


class ChatSession:
    """`status` is 1 once a line has failed."""

    def __init__(self, server: str, codec: Codec, terminal: Terminal, *, frames: bool) -> None:
        self.status = 0
        self._greeting = f"connected to {server}, {codec.dialect}; /help lists the commands"
        self._terminal = terminal
        self._conversation = Conversation(server, codec, terminal, frames=frames)
        self._commands = ChatCommands(codec, terminal, self._conversation)

    def run(self) -> None:
        """Raises ClientError when the server cannot be reached, or ends the connection."""
        conversation = self._conversation
        conversation.connect()
        self._terminal.show(self._greeting)
        try:
            while conversation.end is None and (line := self._next_line()) is not None:
                self._run_line(line)
        except KeyboardInterrupt:
            if conversation.end is None:
                raise
        finally:
            conversation.close()
        if conversation.end is not None:
            raise conversation.end

    def _next_line(self) -> str | None:
        """None at the end."""
        line = None if self._terminal.is_unread else self._terminal.read_line()
        return None if line is None or line.strip() in _QUIT else line.strip()

    def _run_line(self, line: str) -> None:
        try:
            self._commands.run(line)
        except ClientError as error:
            self.status = 1
            if self._conversation.end is None:
                self._terminal.show(str(error))
