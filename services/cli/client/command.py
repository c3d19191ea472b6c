"""`dragoman client`: a line client for the terminal."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click
import msgspec

from dragoman_client.aio import InvalidAddress
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination, Unsupported
from dragoman_client.codec.events import ListedChat
from dragoman_client.errors import ClientError
from local.options import CommandFailed, OperatorError
from services.cli.client import wording
from services.cli.client.conversation import CommandError, Conversation
from services.cli.client.terminal import Terminal
from services.cli.console import default_option

_HISTORY = 20
_MANY = 10_000
"""The most words of a text."""
_DIGITS = 18
"""The most digits of a number: each such number has less than 64 bits."""


class ChatCommand(NamedTuple):
    """A command of the terminal client. `least`, `most`: the fewest and the most words after the command's name."""

    run: Callable[[Sequence[str]], None]
    usage: str
    help: str
    least: int = 0
    most: int = 0


class ChatCommands:
    """Carries out the lines that a user types, one after the other. Every method raises ClientError when the line
    fails."""

    def __init__(self, codec: Codec, terminal: Terminal, conversation: Conversation) -> None:
        self._codec = codec
        self._terminal = terminal
        self._conversation = conversation
        self._sent: dict[Destination, tuple[int, int]] = {}
        """The last own message in each chat: its chat and index."""
        self._table = {
            "register": ChatCommand(self._register, "NAME [PASSWORD]", "make an account, and log in", 1, 2),
            "login": ChatCommand(self._login, "NAME [PASSWORD]", "log in", 1, 2),
            "chats": ChatCommand(self._chats, "", "list your chats"),
            "open": ChatCommand(self._open, "USER", "open a private chat, and write to it from now on", 1, 1),
            "group": ChatCommand(self._group, "NAME [USER ...]", "make a group, and write to it from now on", 1, 99),
            "join": ChatCommand(self._join, "CHAT", "ask to join a group", 1, 1),
            "accept": ChatCommand(self._accept, "CHAT USER", "accept a user's request to join", 2, 2),
            "chat": ChatCommand(self._chat, "CHAT", "write to this chat from now on", 1, 1),
            "history": ChatCommand(self._history, "[COUNT]", "show the last messages of the current chat", 0, 1),
            "search": ChatCommand(self._search, "QUERY", "show the last messages that match a query", 1, _MANY),
            "edit": ChatCommand(self._edit, "TEXT", "replace your last message in the current chat", 1, _MANY),
            "recall": ChatCommand(self._recall, "", "recall your last message in the current chat"),
            "react": ChatCommand(self._react, "EMOJI", "react to the last message of the current chat", 1, 1),
            "unreact": ChatCommand(
                self._unreact, "EMOJI", "take back your reaction to the last message of the current chat", 1, 1
            ),
            "read": ChatCommand(self._read, "", "mark the messages of the current chat as read"),
            "block": ChatCommand(self._block, "USER", "reject a user's private messages and friend requests", 1, 1),
            "unblock": ChatCommand(self._unblock, "USER", "accept a user's private messages again", 1, 1),
            "reply": ChatCommand(self._reply, "TEXT", "reply to the last message of the current chat", 1, _MANY),
            "call": ChatCommand(self._call, "OPERATION [JSON]", "call any operation of the protocol by its name", 1, 2),
            "help": ChatCommand(self._help, "", "show this list"),
        }

    def run(self, line: str) -> None:
        """Carries out a line, which is a command or a message. A message that begins with a slash is typed with
        `//`."""
        if line.startswith("//") or not line.startswith("/"):
            return self._post(line.removeprefix("/"))
        name, *words = _words(line)
        command = self._table.get(name)
        if command is None:
            raise CommandError(f"there is no command /{name}; /help lists them all")
        if not command.least <= len(words) <= command.most:
            raise CommandError(f"usage: /{name} {command.usage}".rstrip())
        command.run(words)

    def _help(self, _: Sequence[str]) -> None:
        rows = [(f"/{name} {command.usage}", command.help) for name, command in self._table.items()]
        rows.append(("/quit", "leave"))
        lines = [f"  {usage:<28}{text}" for usage, text in rows]
        ending = "Any other line is a message to the current chat (//… for one that begins with a slash)."
        self._terminal.show("\n".join([*lines, ending]))

    # Accounts

    def _register(self, words: Sequence[str]) -> None:
        account = self._typed_account(words, "register")
        logs_in = self._codec.registration_logs_in
        self._conversation.enter(self._codec.register(account), account, logs_in=logs_in)
        if not logs_in:
            self._conversation.enter(self._codec.login(account), account)

    def _login(self, words: Sequence[str]) -> None:
        account = self._typed_account(words, "login")
        self._conversation.enter(self._codec.login(account), account)

    def _typed_account(self, words: Sequence[str], command: str) -> ClientAccount:
        name, *password = words
        if password:
            self._terminal.forget_line()
            return self._codec.account(name, password[0])
        if not self._terminal.is_interactive:
            raise CommandError(f"a script must also give the password: /{command} {name} PASSWORD")
        try:
            return self._codec.account(name, self._terminal.read_password())
        except EOFError:
            raise CommandError("no password") from None

    # Chats

    def _chats(self, _: Sequence[str]) -> None:
        listed = self._listed()
        for chat in listed:
            self._terminal.show(wording.chat(chat, self._conversation.names))
        numbers = {chat.number for chat in listed}
        others = [chat for chat in self._conversation.transcript.chats if chat.user or chat.chat not in numbers]
        for place in others:
            self._terminal.show(wording.destination(place))
        if not listed and not others:
            self._terminal.show("you are in no chat")

    def _listed(self) -> Sequence[ListedChat]:
        """The account's chats. The result is empty if the protocol cannot list chats."""
        account = self._conversation.account
        try:
            request = self._codec.list_chats(account)
        except Unsupported as unsupported:
            self._terminal.show(f"{unsupported}; in this session:")
            return ()
        return [
            chat if chat.name else self._described(account, chat) for chat in self._conversation.request(request).chats
        ]

    def _described(self, account: ClientAccount, chat: ListedChat) -> ListedChat:
        (described,) = self._conversation.request(self._codec.describe_chat(account, chat.number)).chats
        return described

    def _open(self, words: Sequence[str]) -> None:
        opened = self._codec.open_private(self._conversation.account, self._user(words[0]))
        if isinstance(opened, ClientRequest):
            opened = Destination(self._conversation.request(opened).chat)
        self._conversation.write_to(opened)

    def _group(self, words: Sequence[str]) -> None:
        name, *users = words
        request = self._codec.create_group(self._conversation.account, name, list(map(self._user, users)))
        self._conversation.write_to(Destination(self._conversation.request(request).chat))

    def _join(self, words: Sequence[str]) -> None:
        chat = _number(words[0])
        self._conversation.complete(self._codec.join(self._conversation.account, chat))
        self._terminal.show(f"you have asked to join chat {chat}")

    def _accept(self, words: Sequence[str]) -> None:
        chat, user = _number(words[0]), self._user(words[1])
        self._conversation.complete(self._codec.accept(self._conversation.account, chat, user))
        self._terminal.show("accepted")

    def _user(self, text: str) -> ClientAccount:
        user = self._codec.user(text)
        self._conversation.names[user.uuid] = user.name
        return user

    def _chat(self, words: Sequence[str]) -> None:
        _ = self._conversation.account
        self._conversation.write_to(Destination(_number(words[0])))

    def _block(self, words: Sequence[str]) -> None:
        self._conversation.request(self._codec.block(self._user(words[0])))
        self._terminal.show("blocked")

    def _unblock(self, words: Sequence[str]) -> None:
        self._conversation.request(self._codec.block(self._user(words[0]), on=False))
        self._terminal.show("unblocked")

    # Messages

    def _post(self, text: str, reply_to: int = 0) -> None:
        if text:
            account, chat = self._conversation.account, self._conversation.current
            draft = self._codec.reply(chat.chat, reply_to, text) if reply_to else self._codec.post(account, chat, text)
            reply = self._conversation.request(draft)
            self._sent[chat] = reply.chat or chat.chat, reply.position
            self._conversation.transcript.add(chat, wording.own_message(chat, text))
            self._terminal.show("sent")

    def _edit(self, words: Sequence[str]) -> None:
        self._conversation.request(self._codec.edit(*self._last_sent(), " ".join(words)))
        self._terminal.show("edited")

    def _recall(self, _: Sequence[str]) -> None:
        self._conversation.request(self._codec.recall(*self._last_sent()))
        self._terminal.show("recalled")

    def _last_sent(self) -> tuple[int, int]:
        if (found := self._sent.get(self._conversation.current)) is None:
            raise CommandError("you have sent no message to this chat since you logged in")
        return found

    def _react(self, words: Sequence[str], *, on: bool = True) -> None:
        chat, index = self._conversation.current.chat, self._last_received()
        self._conversation.request(self._codec.react(chat, index, words[0], on=on))
        self._terminal.show("done")

    def _unreact(self, words: Sequence[str]) -> None:
        self._react(words, on=False)

    def _read(self, _: Sequence[str]) -> None:
        self._conversation.request(self._codec.read(self._conversation.current.chat, self._last_received()))
        self._terminal.show("read")

    def _reply(self, words: Sequence[str]) -> None:
        self._post(" ".join(words), self._last_received())

    def _last_received(self) -> int:
        if not (last := self._conversation.last.get(self._conversation.current, 0)):
            raise CommandError("no message of this chat has come since you logged in")
        return last

    def _history(self, words: Sequence[str]) -> None:
        count = _number(words[0]) if words else _HISTORY
        account, chat = self._conversation.account, self._conversation.current
        try:
            request = self._codec.history(account, chat.chat, count)
        except Unsupported as unsupported:
            lines = [f"{unsupported}; in this session:", *self._conversation.transcript.lines(chat, count)]
        else:
            page = self._conversation.request(request).messages
            names = self._conversation.names
            lines = [wording.message(message, account, names, chat.chat) for message in reversed(page)]
        for line in lines:
            self._terminal.show(line)

    def _search(self, words: Sequence[str]) -> None:
        """Searches all chats of the account."""
        zone = time.localtime().tm_gmtoff // 60
        found = self._conversation.request(self._codec.search(" ".join(words), _HISTORY, zone)).messages
        account, names = self._conversation.account, self._conversation.names
        for message in reversed(found):
            self._terminal.show(wording.message(message, account, names))
        if not found:
            self._terminal.show("nothing is found")

    def _call(self, words: Sequence[str]) -> None:
        reply = self._conversation.request(self._codec.call(words[0], _members(words[1:])))
        self._terminal.show(json.dumps(reply.values, ensure_ascii=False))


def _words(line: str) -> Sequence[str]:
    """The words of a command. A name with blanks must be in quotation marks. In other commands, quotation marks are
    ordinary characters, because a password can contain them."""
    name, _, rest = line[1:].partition(" ")
    if name == "call":
        return [name, *rest.split(maxsplit=1)]
    if name != "group":
        return [name, *rest.split()]
    try:
        return [name, *shlex.split(rest)]
    except ValueError as error:
        raise CommandError(f"a quotation mark is missing: {error}") from error


def _members(words: Sequence[str]) -> dict[str, Any]:
    """The arguments of a call, which are given as a JSON object."""
    try:
        return msgspec.json.decode(words[0], type=dict[str, Any]) if words else {}
    except msgspec.MsgspecError as error:
        raise CommandError(f"a JSON object is expected, not {words[0]}") from error


def _number(word: str) -> int:
    if not word.isascii() or not word.isdecimal() or len(word) > _DIGITS:
        raise CommandError(f"a number is expected, not {word}")
    return int(word)


DIALECTS = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "service", "pipe", "native", "irc")
_QUIT = ("/quit", "/exit")


@click.command(epilog="Example: dragoman client wss://chat.example --dialect native")
@click.argument("server", metavar="[URL]", default="ws://127.0.0.1:8080")
@default_option("--dialect", "ourchat-v2", "The protocol to speak.", click.Choice(DIALECTS))
@click.option("--frames", is_flag=True, help="Show all frames unchanged, including passwords.")
def client(server: str, dialect: str, frames: bool) -> None:
    """Chat in a terminal, by any of the protocols.

    URL is the address of an edge: ws://HOST:PORT (default ws://127.0.0.1:8080), wss://HOST or, for plain TCP,
    tcp://HOST:PORT. Lines are messages to the current chat; lines that begin with / are commands, and /help lists
    them. A script can pipe lines in: the client ends with its input, and the exit status is 1 when a line has failed.
    """
    terminal = Terminal()
    session = ChatSession(server, CODECS[dialect], terminal, frames=frames)
    try:
        session.run()
    except InvalidAddress as error:
        raise OperatorError(str(error), "Correct URL") from error
    except ClientError as error:
        raise CommandFailed(str(error), "Give the address of an edge, or start a system: `dragoman up`") from error
    if session.status and not terminal.is_interactive:
        sys.exit(session.status)


class ChatSession:
    """One run of the terminal client. `status`: the exit status, which is 1 after a line has failed."""

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
        """The next line; None at the end of the input."""
        line = None if self._terminal.is_unread else self._terminal.read_line()
        return None if line is None or line.strip() in _QUIT else line.strip()

    def _run_line(self, line: str) -> None:
        try:
            self._commands.run(line)
        except ClientError as error:
            self.status = 1
            if self._conversation.end is None:
                self._terminal.show(str(error))
