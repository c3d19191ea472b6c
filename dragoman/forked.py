"""The program of the fork server. It imports the services and the command line once. Forked processes then start
without these imports."""

from local.fork_server import serve_standard_input

MODULES = (
    "services.auth.app", "services.session.app", "services.message.app", "services.edge.app", "services.search.app",
    "services.cli.up", "dragoman.main", "uvicorn.lifespan.off", "uvicorn.protocols.http.h11_impl",
)  # fmt: skip
"""The modules that a fork server imports."""


def run() -> None:
    """Run the command of a forked process."""
    from dragoman.main import main

    main()


if __name__ == "__main__" and serve_standard_input(MODULES):
    run()
