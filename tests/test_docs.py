"""Documents that repeat what the code says must repeat it truly."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

from metering.eip712 import TYPES
from xnode.node import lease

ROOT = Path(__file__).parent.parent


def make_types_block() -> str:
    """The type strings as docs/protocol.md shows them."""
    return "```\n" + "\n".join(TYPES.values()) + "\n```"


def make_reasons_block() -> str:
    """The end reasons with their comments in the code."""
    notes = dict(re.findall(r'"(\w+)",  # (.+)', inspect.getsource(lease)))
    rows = [f"| `{reason}` | {notes[reason]} |" for reason in typing.get_args(lease.EndReason)]
    return "| reason | when |\n|---|---|\n" + "\n".join(rows)


def read_block(page: str, name: str) -> str:
    text = (ROOT / page).read_text()
    return text.partition(f"<!-- {name} -->\n")[2].partition("\n<!-- end -->")[0]


def test_the_protocol_page_has_every_signed_type() -> None:
    assert read_block("docs/protocol.md", "types") == make_types_block()


def test_the_protocol_page_has_every_reason_for_an_end() -> None:
    assert read_block("docs/protocol.md", "reasons") == make_reasons_block()


def test_no_document_names_a_file_that_is_not_there() -> None:
    for page in ("README.md", "ARCHITECTURE.md", "docs/protocol.md", "docs/protocol-net.md", "contracts/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page} names {target}"
