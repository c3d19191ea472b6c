"""The services and the edge, which never import each other. `cli/` has the operator's commands."""
