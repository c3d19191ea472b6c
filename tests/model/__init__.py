"""A model of a chat system, and random users whose clients must see the same as the model. Begin with `model.py`."""
