"""Fixtures: one deployed chain for the session, and bare ones that a test may hurt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from tests.xnode.chain.devchain import Bed, DevChain, deploy_on, start_anvil
from tests.xnode.chain.suspect import Broken, Suspect, open_broken, open_suspect
from xnode.chain.deployment.devnet import CHAIN_ID
from xnode.chain.node.json_rpc import JsonRpc


@pytest.fixture(scope="session")
def shared_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevChain]:
    """A chain for all tests that only add to it."""
    chain = start_anvil()
    manifest = trio.run(deploy_on, chain.url, tmp_path_factory.mktemp("deploy"))
    chain.manifest = msgspec.structs.replace(manifest, rpc_url=chain.url)
    yield chain
    chain.end()


@pytest.fixture
async def bed(shared_chain: DevChain, tmp_path: Path) -> AsyncIterator[Bed]:
    assert shared_chain.manifest is not None
    async with JsonRpc(shared_chain.url, shared_chain.manifest.chain_id) as rpc:
        yield Bed(shared_chain.manifest, rpc, tmp_path)


@pytest.fixture
async def suspect(bed: Bed) -> AsyncIterator[Suspect]:
    async with open_suspect(bed) as one:
        yield one


@pytest.fixture
async def broken(suspect: Suspect) -> AsyncIterator[Broken]:
    async with open_broken(suspect) as one:
        yield one


@pytest.fixture
def chains() -> Iterator[Callable[..., DevChain]]:
    """Starts bare chains that a test may stop, reorganize or kill."""
    started: list[DevChain] = []

    def start(*arguments: str, port: int = 0, chain_id: int = CHAIN_ID) -> DevChain:
        started.append(start_anvil(*arguments, port=port, chain_id=chain_id))
        return started[-1]

    yield start
    for chain in started:
        chain.end()
