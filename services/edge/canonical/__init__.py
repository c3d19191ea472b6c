"""The model that all dialects share: commands, replies, events, frames. Begin with `commands.py`."""
