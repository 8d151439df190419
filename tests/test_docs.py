"""Documents that repeat what the code says must repeat it truly."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import click
import pytest

from metering.eip712 import TYPES
from xnode import __version__
from xnode.chain.deployment.manifest import Contracts
from xnode.cli.chain.commands import call, views
from xnode.cli.chain.contracts import CONTRACTS
from xnode.cli.main import cli
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


def test_the_readme_names_this_version() -> None:
    assert f"\nVersion {__version__.rpartition('.')[0]};" in (ROOT / "README.md").read_text()


def test_every_contract_of_a_manifest_can_be_asked_and_is_named_by_the_help() -> None:
    assert {field for _, field in CONTRACTS.values()} == set(Contracts.__struct_fields__)
    for command in (call, views):
        assert f"CONTRACT is {', '.join(CONTRACTS).replace(', timelock', ' or timelock')}." in (command.help or "")


def test_the_protocol_page_has_every_signed_type() -> None:
    assert read_block("docs/protocol.md", "types") == make_types_block()


def test_the_protocol_page_has_every_reason_for_an_end() -> None:
    assert read_block("docs/protocol.md", "reasons") == make_reasons_block()


@pytest.mark.parametrize("page", ["README.md", "docs/deployment.md"])
def test_every_command_in_a_block_of_a_page_is_one(page: str) -> None:
    blocks = re.findall(r"```\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = [part.split() for block in blocks for part in re.findall(r"xnode ([^#&\n]+)", block)]
    assert lines
    for words in lines:
        group: click.Command = cli
        context = click.Context(cli)
        for word in words:
            if not isinstance(group, click.Group) or not re.fullmatch(r"[a-z\-]+", word):
                break
            found = group.get_command(context, word)
            assert found is not None, f"{page}: there is no `xnode {' '.join(words)}`"
            group = found
        options = {name for parameter in group.params for name in parameter.opts}
        asked = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert asked <= options, f"{page}: `xnode {' '.join(words)}` has no {asked - options}"


def test_no_document_names_a_file_that_is_not_there() -> None:
    for page in (
        "README.md",
        "docs/deployment.md",
        "ARCHITECTURE.md",
        "docs/protocol.md",
        "docs/protocol-types.md",
        "docs/protocol-net.md",
        "contracts/README.md",
    ):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page} names {target}"
