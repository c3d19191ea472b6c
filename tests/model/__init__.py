"""A model of a chat system, and random users whose clients must see what it says. Begin with `model.py`."""
