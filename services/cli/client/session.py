"""A session of the terminal client: reads lines and carries them out, until the input or the connection ends."""

from clients.codec.base import Codec
from clients.errors import ClientError
from services.cli.client.commands import ChatCommands
from services.cli.client.conversation import Conversation
from services.cli.client.terminal import Terminal

_QUIT = ("/quit", "/exit")


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
