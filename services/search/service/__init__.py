"""The use cases of search: following.py keeps the index up to date, and answering.py searches it."""
