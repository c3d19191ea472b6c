"""The whole system from outside. Begin with `conftest.py`: which system a test gets."""
