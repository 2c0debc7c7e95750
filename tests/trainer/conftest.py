"""Lightning reports what these tests do on purpose."""

import logging

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let warnings pass that are about Lightning's own code, or about how small the runs are."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for item in items:
        if "trainer" in str(item.path):
            # Lightning compares tree specifications in a way that torch deprecates.
            item.add_marker(pytest.mark.filterwarnings("ignore:.*treespec.*:FutureWarning"))
