"""A provider whose settings promise what its host does not have: doctor says each thing, and the daemon does not start."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.xnode.cli.conftest import Run, error_lines
from tests.xnode.cli.provider import Provider
from xnode.errors import ExitCode
from xnode.home import Home

pytestmark = [pytest.mark.chain, pytest.mark.slow]


@pytest.fixture
def provider(xnode_here: Run, home: Home, manifest: str, password: str) -> Provider:
    return Provider(xnode_here, home, manifest, password)


@pytest.fixture
def promise(provider: Provider) -> Callable[[str, str], None]:
    """Change a line of the provider's config.toml."""

    def change(name: str, value: str) -> None:
        lines = provider.home.config.read_text().splitlines()
        (place,) = (number for number, line in enumerate(lines) if line.lstrip("# ").startswith(f"{name} = "))
        lines[place] = f"{name} = {value}"
        provider.home.config.write_text("\n".join(lines) + "\n")

    return change


def test_what_the_host_does_not_have_is_said_and_nothing_is_sold(
    provider: Provider, promise: Callable[[str, str], None], xnode: Run
) -> None:
    promise("vcpus", "4096")
    promise("disk", '"90TiB"')
    promise("gpus", "4")
    promise("oci_runtime", '"no-such-runtime"')
    done = xnode("doctor", "-o", "json")
    assert done.returncode == ExitCode.FAILED
    failed = [row for row in json.loads(done.stdout) if row["verdict"] == "fail"]
    wanted = {"share.vcpus is 4096", "share.disk is 90 TiB", "share.gpus is 4", "no-such-runtime, the oci_runtime"}
    assert {words for words in wanted if any(words in row["detail"] for row in failed)} == wanted
    assert all(row["hint"] for row in failed)
    started = xnode("provider", "run")
    assert started.returncode == ExitCode.FAILED
    errors = [line for line in error_lines(started.stderr) if line.startswith("error: ")]
    assert {words for words in wanted if any(words in line for line in errors)} == wanted
    assert all(" | hint: " in line for line in errors)


def test_a_fresh_provider_offers_what_the_host_has(provider: Provider, xnode: Run) -> None:
    rows = json.loads(xnode("doctor", "-o", "json").stdout)
    assert [row for row in rows if row["verdict"] == "fail" and row["what"] in ("share", "gpus", "limits")] == []
    assert any(row["what"] == "share" and row["verdict"] == "ok" for row in rows)
