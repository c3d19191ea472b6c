"""The command `dragoman` and its subcommands, such as `up`, which runs the whole system."""

import click

from services.cli.console import CommandGroup

_SECTIONS = {
    "Run Dragoman, and use it": {
        "up": "services.cli.preflight:up_command",
        "client": "services.cli.client.command:client",
        "dashboard": "services.cli.overview.command:dashboard",
        "top": "services.cli.top.command:top",
    },
    "Operate it": {
        "admin": "services.cli.admin.command:admin",
        "doctor": "services.cli.doctor.command:doctor",
        "config": "services.cli.config:config",
        "secrets": "services.cli.secrets:secrets_command",
        "migrate": "services.cli.migrations:migrate",
        "backup": "services.cli.backup.command:backup",
        "restore": "services.cli.backup.command:restore",
    },
    "Run one process of Dragoman": {
        name: f"services.cli.processes:{name}" for name in ("auth", "session", "message", "search", "edge")
    },
    "Examine it": {"bench": "bench.cli:bench", "replay": "services.cli.replay:replay"},
}


@click.group(
    cls=CommandGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C or SIGTERM. Example: dragoman up",
)
@click.version_option(package_name="dragoman", prog_name="dragoman")
def main() -> None:
    """A chat backend whose edge speaks every client's own protocol.

    Settings come from flags, the environment (DRAGOMAN_EDGE__PORT=8080), a TOML file and defaults, in this order.
    """


if __name__ == "__main__":
    main()
