"""A trouble that lasts is a handful of lines in the log."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.make.waiting import pass_time
from xnode.outage import Outage

pytestmark = pytest.mark.usefixtures("all_is_logged")


async def test_a_long_trouble_is_said_at_its_start_seldom_and_at_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outage = Outage("reading chain logs")
    with capture_logs() as lines:
        for _ in range(3600):
            outage.failed("cannot be reached")
            await pass_time(1)
        assert outage.reason == "cannot be reached"
        outage.over()
        outage.over()
    assert lines[0]["event"] == "failed; will be tried again"
    assert lines[-1]["event"] == "back" and lines[-1]["after"] == "60 min"
    assert {line["event"] for line in lines[1:-1]} == {"still failing"} and len(lines) < 10
    assert not outage.reason
