"""Tests rules of the code itself. Read `test_house.py` first."""
