"""Auth, session, message and edge, which never import each other; `cli/` holds the operator's commands."""
