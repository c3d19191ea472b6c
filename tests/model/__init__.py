"""A model of a chat system. Random users' clients must show what it predicts. Read `model.py` first."""
