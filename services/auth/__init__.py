"""Accounts' identifiers and secrets, tokens, bots, verification, mail. The floor plan is in docs/architecture.md."""
