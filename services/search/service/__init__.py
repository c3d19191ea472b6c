"""The use cases: following.py keeps the index, answering.py reads it."""
