"""A log is copied to its end, and not for as long as a provider goes on talking."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metering.codec import encode
from tests.make.records import LEASE_ID, make_submitter_lease
from tests.make.values import NOW_NS
from xnode.node import message
from xnode.node.submitter.money import RETAIN_NS
from xnode.peers.job_log import JobLog
from xnode.peers.log_follower import LogFollower

PIECES = 100
STEP_NS = RETAIN_NS // 10


class TalksOn:
    """A provider whose log goes on and on: between two pieces its reader's clock goes on by hours."""

    def __init__(self) -> None:
        self.at_ns, self.sent = NOW_NS, 0

    def now_ns(self) -> int:
        return self.at_ns

    @asynccontextmanager
    async def stream(self, *_args: object) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        async with aclosing(self._talk()) as talk:
            yield talk

    async def _talk(self) -> AsyncGenerator[bytes, None]:
        while self.sent < PIECES:
            self.sent += 1
            self.at_ns += STEP_NS
            yield encode(message.LogPiece(self.sent, b"x", ended=False))


@pytest.mark.parametrize(("status", "is_left"), [("settled", True), ("running", False)])
async def test_a_log_that_goes_on_long_after_its_lease_is_left(tmp_path: Path, status: str, is_left: bool) -> None:
    lease = make_submitter_lease(status=status, heard_at_ns=NOW_NS)
    net: Any = TalksOn()
    loop: Any = SimpleNamespace(state=SimpleNamespace(get=lambda _kind, _key: lease))
    await LogFollower(loop, net, net, tmp_path)._copy(lease, JobLog(tmp_path, LEASE_ID))
    assert (net.sent < PIECES // 2) == is_left
    assert JobLog(tmp_path, LEASE_ID).path.read_bytes().startswith(b"xxxxx")
