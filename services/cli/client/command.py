"""`dragoman client`: a line client for the terminal. Its parts are imported on use, as every process imports this."""

import sys

import click

DIALECTS = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "service", "pipe", "native")
_INTERRUPTED = 130


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
    from clients.codec import CODECS
    from clients.errors import ClientError
    from services.cli.client.session import ChatSession
    from services.cli.client.terminal import Terminal

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
