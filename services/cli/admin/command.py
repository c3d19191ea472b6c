"""`dragoman admin`: the operator's commands. Each imports its implementation on use, so that the CLI starts fast."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from local.options import data_option, flags_of, settings_options

if TYPE_CHECKING:
    from local.installation import Installation
    from services.cli.admin.bus_client import AdminClient
    from services.cli.admin.dead_letters import DeadLetters

A = TypeVar("A")


@click.group()
def admin() -> None:
    """Administer a running system.

    The option --data of a command finds a `dragoman up` on this machine; other systems need the settings of the NATS
    user `admin`. The exit status is 1 after a failure, 2 after a wrong use.
    """


@admin.group()
def user() -> None:
    """Accounts: find, duplicates, disable, enable, reset, sessions."""


@admin.group()
def chat() -> None:
    """Chats: show, members."""


@admin.group()
def message() -> None:
    """Messages: find."""


@admin.group("dead-letters")
def dead_letters() -> None:
    """Events that a service gave up: list, show, retry."""


def on_installation(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select an installation, which becomes the command's first argument."""

    @wraps(command)
    def run(file: Path | None, assignments: tuple[str, ...], data: Path | None, **arguments: Any) -> None:
        from local.installation import find
        from services.cli.plain_logs import configure_plain_logs

        installation = find(file, assignments, flags_of(data=data))
        configure_plain_logs()
        command(installation, **arguments)

    return settings_options(data_option(run))


_account = click.argument("account", metavar="ACCOUNT")
_number = click.argument("number", metavar="NUMBER", type=click.IntRange(1, 2**63 - 1))
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_numbers = click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


def with_client(installation: "Installation", work: "Callable[[AdminClient], Awaitable[A]]") -> A:
    """Run `work` with a bus connection of its own; returns its result. Raises click.ClickException."""
    from services.cli.admin.bus_client import connected_client

    async def run() -> A:
        async with connected_client(installation) as client:
            return await work(client)

    return asyncio.run(run())


def record(installation: "Installation", act: str, detail: str = "") -> None:
    """Record in the audit trail an act that auth does not carry out itself. Without a running system it only stands on
    this terminal."""
    from local.data import read_run
    from services.cli.admin.bus_client import connected_client
    from shared.contract.admin import RecordAct
    from shared.contract.errors import RequestError

    async def send() -> None:
        async with connected_client(installation) as client:
            await client.request(RecordAct.route, RecordAct(act, detail=detail))

    if "nats.url" not in installation.sources and read_run(installation.settings.data) is None:
        return
    try:
        asyncio.run(send())
    except (click.ClickException, RequestError) as error:
        click.echo(f"this act is not in the audit trail: {error}", file=sys.stderr)


@admin.command()
@on_installation
@click.argument("state", type=click.Choice(["on", "off"]))
def maintenance(installation: "Installation", state: str) -> None:
    """Notify all clients that maintenance begins or ends."""
    from shared.contract.auth import SetMaintenance

    with_client(installation, lambda client: client.request(SetMaintenance.route, SetMaintenance(state == "on")))
    click.echo(f"maintenance is {state}")


# Accounts. ACCOUNT is always a username, an e-mail address, an OC number or a uuid.


@user.command("find")
@on_installation
@_account
@_json
def user_find(installation: "Installation", account: str, as_json: bool) -> None:
    """Show an account, named by username, e-mail address, OC number or uuid."""
    from services.cli.admin import format, users

    found = with_client(installation, lambda client: users.find(client, account))
    click.echo(format.as_json(found) if as_json else format.user(found))


@user.command("duplicates")
@on_installation
@_json
def user_duplicates(installation: "Installation", as_json: bool) -> None:
    """List accounts whose usernames look alike, or whose e-mail addresses are one.

    They were registered before such names were rejected. All of them work, each by its identifier as it was registered.
    """
    from services.cli.admin import format, users

    found = with_client(installation, users.list_duplicates)
    click.echo(format.as_json(found) if as_json else format.duplicates(found))


@user.command("disable")
@on_installation
@_account
def user_disable(installation: "Installation", account: str) -> None:
    """End an account's connections, void its tokens, and reject its logins."""
    from services.cli.admin import users

    found = with_client(installation, lambda client: users.set_disabled(client, account, True))
    click.echo(f"account {found.account} is disabled")


@user.command("enable")
@on_installation
@_account
def user_enable(installation: "Installation", account: str) -> None:
    """Accept logins to a disabled account again."""
    from services.cli.admin import users

    found = with_client(installation, lambda client: users.set_disabled(client, account, False))
    click.echo(f"account {found.account} is enabled")


@user.command("reset")
@on_installation
@_account
def user_reset(installation: "Installation", account: str) -> None:
    """Give an account a new password, which is printed once; void the old one and all tokens.

    Webhooks, links and tokens of bots that the account has made go on: they are counted, and `dragoman admin user made`
    ends them.
    """
    from services.cli.admin import format, users
    from shared.contract.admin import UserView

    async def work(client: "AdminClient") -> tuple[UserView, str, users.MadeThings]:
        found, password = await users.reset(client, account)
        return found, password, await users.made(client, found)

    found, password, made = with_client(installation, work)
    click.echo(f"the new password of account {found.account}: {password}")
    if text := format.made(made):
        click.echo(f"what it has made still acts ({text}); to end it: dragoman admin user made {found.account} --end")


@user.command("made")
@on_installation
@_account
@click.option("--end", is_flag=True, help="Delete the webhooks and links, and revoke the tokens of bots.")
@_json
def user_made(installation: "Installation", account: str, end: bool, as_json: bool) -> None:
    """Show what an account has made that acts without a login: webhooks, links, tokens of bots."""
    from services.cli.admin import format, users

    async def work(client: "AdminClient") -> users.MadeThings:
        found = await users.find(client, account)
        await client.record("list made", found.account)
        made = await users.made(client, found)
        if end:
            await users.end_made(client, found)
        return made

    made = with_client(installation, work)
    click.echo(format.as_json(made) if as_json else format.made(made) or "it has made nothing")
    if end:
        click.echo("all of it is ended")


@user.command("sessions")
@on_installation
@_account
@click.option("--end", "sid", metavar="ID", help="End this login: its connections close, its token is void.")
@_json
def user_sessions(installation: "Installation", account: str, sid: str | None, as_json: bool) -> None:
    """List an account's logins, newest first, or end one."""
    from services.cli.admin import format, users

    if sid is not None:
        ended = with_client(installation, lambda client: users.end_session(client, account, sid))
        return click.echo(f"the login {sid} of account {ended.account} is ended")
    found = with_client(installation, lambda client: users.sessions(client, account))
    click.echo(format.as_json(found) if as_json else format.logins(found))


@admin.command()
@on_installation
@_account
def kick(installation: "Installation", account: str) -> None:
    """End an account's connections; its clients may reconnect at once."""
    from services.cli.admin import users

    found = with_client(installation, lambda client: users.kick(client, account))
    click.echo(f"account {found.account} is disconnected")


@admin.command()
@on_installation
@_account
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not the terminal.")
def export(installation: "Installation", account: str, output: Path | None) -> None:
    """Print all stored data of an account except its secrets, as JSON."""
    from local.credentials import write_private
    from services.cli.admin import export, format, users

    async def work(client: "AdminClient") -> export.Export:
        return await export.export(client, await users.find(client, account))

    text = format.as_json(with_client(installation, work))
    if output is None:
        return click.echo(text)
    try:
        write_private(output, f"{text}\n".encode())
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"written to {output}")


@admin.command()
@on_installation
@_account
@_yes
def delete(installation: "Installation", account: str, yes: bool) -> None:
    """Delete an account everywhere, as its user could; its messages stay. This cannot be undone."""
    from services.cli.admin import users

    found = with_client(installation, lambda client: users.find(client, account))
    if not yes:
        click.confirm(f"Delete account {found.account} ({found.nickname!r})?", abort=True)
    with_client(installation, lambda client: users.delete(client, found))
    click.echo(f"account {found.account} is deleted")


# Chats


@chat.command("show")
@on_installation
@_number
@_json
def chat_show(installation: "Installation", number: int, as_json: bool) -> None:
    """Show a chat by its number."""
    from services.cli.admin import chats, format
    from shared.contract.ids import ChatId

    found = with_client(installation, lambda client: chats.show(client, ChatId(number)))
    click.echo(format.as_json(found) if as_json else format.chat(found))


@chat.command("members")
@on_installation
@_number
@_json
def chat_members(installation: "Installation", number: int, as_json: bool) -> None:
    """List the members of a chat."""
    from services.cli.admin import chats, format
    from shared.contract.ids import ChatId

    found = with_client(installation, lambda client: chats.members(client, ChatId(number)))
    click.echo(format.as_json(found) if as_json else format.members(found))


# Messages


@message.command("find")
@on_installation
@click.argument("query", metavar="MESSAGE")
@_json
def message_find(installation: "Installation", query: str, as_json: bool) -> None:
    """Show where a message is: accepted, committed, in which envelopes, and delivered to whom, or waiting for whom.

    MESSAGE is CHAT/INDEX (0: the last one), the number of a message, or the trace id of a log line.
    """
    from services.cli.admin import format, messages

    found = with_client(installation, lambda client: messages.find(client, query))
    click.echo(format.as_json(found) if as_json else "\n\n".join(map(format.message, found)))


# Dead letters


def _with_dead_letters(installation: "Installation", work: "Callable[[DeadLetters], Awaitable[A]]") -> A:
    from services.cli.admin.dead_letters import open_dead_letters

    async def run() -> A:
        async with open_dead_letters(installation) as dead_letters:
            return await work(dead_letters)

    return asyncio.run(run())


@dead_letters.command("list")
@on_installation
@_json
def dead_letters_list(installation: "Installation", as_json: bool) -> None:
    """List dead letters, oldest first."""
    from services.cli.admin import format

    found = _with_dead_letters(installation, lambda dead_letters: dead_letters.list())
    click.echo(format.as_json(found) if as_json else format.dead_letters(found))


@dead_letters.command("show")
@on_installation
@_number
@_json
def dead_letters_show(installation: "Installation", number: int, as_json: bool) -> None:
    """Show one dead letter and its error."""
    from services.cli.admin import format

    found = _with_dead_letters(installation, lambda dead_letters: dead_letters.show(number))
    click.echo(format.as_json(found) if as_json else format.dead_letter(found))


@dead_letters.command("retry")
@on_installation
@_numbers
def dead_letters_retry(installation: "Installation", numbers: tuple[int, ...]) -> None:
    """Publish events to their consumers again, and remove them from the list."""

    async def work(dead_letters: "DeadLetters") -> None:
        for number in numbers:
            dead_letter = await dead_letters.retry(number)
            click.echo(f"{number}: {dead_letter.subject} is published again")

    _with_dead_letters(installation, work)
    record(installation, "retry events", " ".join(map(str, numbers)))


@dead_letters.command("discard")
@on_installation
@_numbers
@_yes
def dead_letters_discard(installation: "Installation", numbers: tuple[int, ...], yes: bool) -> None:
    """Remove events that nothing can repair. Their work is never done. This cannot be undone."""
    named = " ".join(map(str, numbers))
    if not yes:
        click.confirm(f"Discard {named}?", abort=True)

    async def work(dead_letters: "DeadLetters") -> None:
        for number in numbers:
            await dead_letters.discard(number)
            click.echo(f"{number}: discarded")

    _with_dead_letters(installation, work)
    record(installation, "discard events", named)
