"""The rules of the code itself. Begin with `test_house.py`."""
