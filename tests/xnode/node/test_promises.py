"""The table of promises names every state, and no job or lease is ever without an alarm, a deadline or an end."""

from __future__ import annotations

from pathlib import Path

from xnode.node.lease import OPEN
from xnode.node.submitter.promises import PROMISES, make_promises_table

ENDED = {"done", "half-fetched", "failed", "stopped"}
ROOT = Path(__file__).parent.parent.parent.parent


def test_every_state_of_a_job_that_has_not_ended_has_its_promise() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "xnode/node/submitter").glob("*.py"))
    named = {one.job for one in PROMISES} - {"any"}
    assert named == {"searching", "quoting", "leasing", "running", "fetching"}
    for status in named | ENDED:
        assert f'"{status}"' in sources
    assert {"requested", "preparing", "running", "each open one"} <= {one.lease for one in PROMISES}
    assert {"preparing", "running"} < OPEN
    assert all(one.owed and one.until and one.then for one in PROMISES)


def test_the_table_in_the_protocol_is_the_programs() -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    assert text.partition("<!-- promises -->\n")[2].partition("\n<!-- end -->")[0] == make_promises_table()
