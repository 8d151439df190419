"""What tests of the store and of the loop on it share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.xnode.store.server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests; each takes a database of its own."""
    with PostgresServer() as server:
        yield server
