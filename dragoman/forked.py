"""The fork server as a program: imports the services and the command line, then becomes each process that is forked."""

from local.fork_server import serve_standard_input

MODULES = (
    "services.auth.app", "services.session.app", "services.message.app", "services.edge.app", "dragoman.main",
)  # fmt: skip
"""What a fork server imports."""

if __name__ == "__main__" and serve_standard_input(MODULES):
    from dragoman.main import main

    main()
