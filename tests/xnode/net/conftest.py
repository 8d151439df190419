"""Fixtures: real nodes in their own processes, and one in this process to talk to them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.xnode.net.remote import Remote, make_settings, start_remote
from xnode.net.edge import Net, open_net


@pytest.fixture(scope="session")
def shared_remote() -> Iterator[Remote]:
    """One node for all tests that leave it as they found it."""
    remote = start_remote()
    yield remote
    remote.end()


@pytest.fixture
def remotes() -> Iterator[Callable[..., Remote]]:
    """Starts nodes that a test may hurt."""
    started: list[Remote] = []

    def start(**options: Any) -> Remote:
        started.append(start_remote(**options))
        return started[-1]

    yield start
    for remote in started:
        remote.end()


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    """A node of this process that no other node can dial."""
    async with open_net(make_settings(), time.time_ns) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_dht_remote() -> Iterator[Remote]:
    """As shared_remote, serving the DHT."""
    remote = start_remote(dht=True)
    yield remote
    remote.end()
