"""Commands that need no network start without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.xnode.cli.conftest import DEADLINE_S
from xnode.home import Home

HEAVY = ("trio", "libp2p", "web3", "sqlalchemy", "pydantic", "eth_account", "structlog", "starlette", "httpx2")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("job", "--help"),
        ("job", "init"),
        ("job", "validate"),
        ("wallet", "ls"),
        ("job", "ls"),
    ],
)
def test_a_light_command_imports_nothing_heavy(
    arguments: tuple[str, ...], environment: dict[str, str], home: Home
) -> None:
    if arguments == ("job", "validate"):
        (home.folder / "image").mkdir()
        (home.folder / "image" / "index.json").write_text("{}")
        (home.folder / "job.yaml").write_text("image: oci:./image\ntime_limit: 1m\nbudget: 1 OPENX\n")
    code = (
        "import sys\nfrom xnode.cli.main import run\n"
        f"code = run({list(arguments)!r})\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('HEAVY', found, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=home.folder,
        env=environment,
        timeout=DEADLINE_S,
        check=True,
    )
    assert "HEAVY []" in done.stderr, done.stderr
    assert "error" not in done.stderr or arguments == ("job", "ls")
