"""A pytest plugin (`-p tests.system.shuffle`) that runs tests in an order drawn from a seed."""

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order", type=int, required=True, help="the seed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    random.Random(config.getoption("--order")).shuffle(items)
