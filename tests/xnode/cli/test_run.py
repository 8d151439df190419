"""What a daemon needs of its host before it is even loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnode.cli.node.run import require_resolver
from xnode.errors import ExitCode, UserError


def test_a_host_with_a_name_server_is_fine(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    require_resolver(str(tmp_path / "resolv.conf"))


@pytest.mark.parametrize("text", [None, "", "search example\n"], ids=["no file", "empty", "no server"])
def test_a_host_without_one_is_told_so_and_what_to_do(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match="no name server") as caught:
        require_resolver(str(file))
    assert (caught.value.where, caught.value.code) == (str(file), ExitCode.FAILED) and "nameserver" in caught.value.hint
