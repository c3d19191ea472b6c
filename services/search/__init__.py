"""Finds messages by their words. The floor plan is in docs/architecture.md."""
