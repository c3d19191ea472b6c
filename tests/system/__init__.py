"""Tests the whole system from outside. Read `conftest.py` first: it starts the systems."""
