"""`xnode config`: what is declared and where, whether a file is good, what the daemon has of it; and who may write it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from metering.units import ZERO_HASH
from tests.make.scene import open_consoles
from tests.make.values import make_profile
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.conftest import Run, Source, error_lines
from tests.xnode.config.test_settings import PROVIDER
from xnode.chain.deployment.manifest import write_manifest
from xnode.cli.app import App
from xnode.cli.main import COMMANDS
from xnode.cli.manual import make_manual
from xnode.cli.provider.profile import draw_profile, find_declared, make_answer
from xnode.cli.terminal.screen import Screen
from xnode.console.method import bind_methods
from xnode.control.server import Method
from xnode.errors import ExitCode
from xnode.home import Home


@pytest.fixture
def declared(home: Home) -> Path:
    """Settings that are not in the home."""
    (home.folder / "etc").mkdir()
    path = home.folder / "etc" / "node.toml"
    path.write_text(PROVIDER + '[node]\ndatabase_url = "postgresql+psycopg://u:s3cret@db/x"\n')
    return path


@asynccontextmanager
async def open_bound(folder: Path) -> AsyncIterator[dict[str, Method]]:
    """The methods of a provider's daemon."""
    async with open_consoles(folder) as (_, provider):
        yield bind_methods(provider)


def test_settings_are_shown_with_their_place_and_without_secrets(xnode_here: Run, declared: Path) -> None:
    variable = {"XNODE_PROVIDER__PRICES__VCPU_HOUR": "0.5"}
    done = xnode_here("--config", str(declared), "config", "show", "-o", "json", env=variable)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["provider.prices.vcpu_hour"]["place"] == "environment XNODE_PROVIDER__PRICES__VCPU_HOUR"
    assert rows["provider.region"] == {"name": "provider.region", "value": '"eu"', "place": "file"}
    assert "provider.quote_ttl" not in rows and f"declared in {declared}" in done.stderr
    effective = xnode_here("config", "show", "--effective", env={"XNODE_CONFIG": str(declared)})
    assert "provider.quote_ttl" in effective.stdout and "default" in effective.stdout
    assert "s3cret" not in done.stdout + effective.stdout and "u:***@db" in effective.stdout


def test_a_file_is_checked_without_being_taken(xnode_here: Run, home: Home, declared: Path) -> None:
    done = xnode_here("config", "check", str(declared), "-o", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["file"], answer["prices_checked"]) == (0, str(declared), False)
    write_manifest(home.folder / "chain.json", MANIFEST)
    answer = json.loads(xnode_here("config", "check", str(declared), "-o", "json").stdout)
    assert answer["prices_checked"] and len(answer["settings_hash"]) == 66
    declared.write_text(
        declared.read_text().replace('region = "eu"', 'regoin = "eu"').replace("vcpus = 1.5", "vcpus = 0")
    )
    done = xnode_here("config", "check", str(declared))
    assert done.returncode == ExitCode.USAGE
    wrong = error_lines(done.stderr)
    assert any(f"{declared}: provider.regoin: unknown key | hint: did you mean" in line for line in wrong), wrong
    assert any("provider.share.vcpus" in line for line in wrong) and not home.config.exists()


def test_a_check_says_which_prices_the_asset_cannot_have(xnode_here: Run, home: Home, declared: Path) -> None:
    write_manifest(home.folder / "chain.json", MANIFEST)
    declared.write_text(
        declared.read_text().replace('region = "eu"', 'region = "eu"\nasset = "USD"').replace("0.02", "0.0000002")
    )
    done = xnode_here("config", "check", str(declared))
    assert (done.returncode, "provider.prices.vcpu_hour" in done.stderr) == (ExitCode.USAGE, True)


def test_settings_that_are_named_and_not_there_are_one_line(xnode_here: Run, home: Home) -> None:
    done = xnode_here("--config", "gone.toml", "config", "show")
    assert (done.returncode, len(error_lines(done.stderr))) == (ExitCode.NOT_FOUND, 1)
    assert str(home.folder / "gone.toml") in done.stderr


def test_a_price_is_not_set_where_settings_are_declared_elsewhere(
    xnode_here: Run, home: Home, declared: Path, serve: Callable[[Mapping[str, Method]], None]
) -> None:
    asked = []

    async def set_price(params: dict[str, Any]) -> None:
        asked.append(params)

    async def diff(_params: dict[str, Any]) -> list[dict[str, Any]]:
        return []

    serve({"provider.set_price": set_price, "config.diff": diff})
    home.config.symlink_to(declared)
    before = declared.read_text()
    done = xnode_here("provider", "price", "set", "vcpu_hour=0.5")
    (line,) = error_lines(done.stderr)
    assert (done.returncode, done.stdout) == (ExitCode.REFUSED, "")
    assert f"{home.config}: " in line and f"it is a link to {declared}" in line and "xnode config reload" in line
    assert home.config.is_symlink() and declared.read_text() == before and not asked


def test_a_price_is_set_in_the_settings_that_are_named(xnode_here: Run, home: Home, declared: Path) -> None:
    done = xnode_here("--config", str(declared), "provider", "price", "set", "vcpu_hour=0.5")
    assert done.returncode == 0 and 'vcpu_hour = "0.5"' in declared.read_text() and not home.config.exists()


def test_a_daemon_is_compared_and_takes_what_is_declared(
    xnode_here: Run, serve_from: Callable[[Source], None], tmp_path: Path
) -> None:
    serve_from(open_bound(tmp_path))
    config = tmp_path / "provider" / "config.toml"
    same = xnode_here("config", "diff")
    assert (same.returncode, same.stdout) == (0, "") and "runs with what is declared" in same.stderr
    config.write_text(config.read_text().replace('vcpu_hour = "0.02"', 'vcpu_hour = "0.03"'))
    other = xnode_here("config", "diff")
    assert other.returncode == ExitCode.FAILED and "0.03" in other.stdout and "reload" in other.stdout
    assert "1 setting declared otherwise" in xnode_here("daemon", "status").stdout
    taken = xnode_here("config", "reload")
    assert taken.returncode == 0 and "taken: 1 setting" in taken.stderr
    assert "declared, unchanged since " in xnode_here("daemon", "status").stdout
    assert "nothing to take" in xnode_here("config", "reload").stderr


def test_a_reload_that_cannot_be_says_why_in_one_line(
    xnode_here: Run, serve_from: Callable[[Source], None], tmp_path: Path
) -> None:
    serve_from(open_bound(tmp_path))
    config = tmp_path / "provider" / "config.toml"
    config.write_text(config.read_text() + "[node]\nrelay = true\n")
    assert "restart" in xnode_here("config", "diff").stdout
    done = xnode_here("config", "reload")
    (line,) = error_lines(done.stderr)
    assert done.returncode == ExitCode.CONFLICT and "this needs a restart: node.relay" in line and str(config) in line


def test_without_a_daemon_there_is_nothing_to_compare(xnode_here: Run) -> None:
    for command in ("diff", "reload"):
        done = xnode_here("config", command)
        assert (done.returncode, done.stdout) == (ExitCode.NO_DAEMON, "")


def test_the_manual_names_the_variable_and_the_commands() -> None:
    page = make_manual()
    assert "XNODE_CONFIG" in page and r"xnode config reload" in page and "config" in COMMANDS


def test_a_profile_has_the_software_and_the_settings_that_an_offer_names(
    home: Home, declared: Path, serve_from: Callable[[Source], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(Home(home.folder, declared), debug=False)
    off = find_declared(app)
    assert (off["is_running"], off["settings"]["unchanged_since_ns"]) == (False, 0)
    hardware = make_answer(make_profile(), ZERO_HASH)
    draw_profile(Screen("table"), hardware | off)
    assert f"declared ({off['settings']['hash'][:10]}), and no daemon runs with them" in capsys.readouterr().out
    serve_from(open_bound(tmp_path))
    on = find_declared(app)
    draw_profile(Screen("table"), hardware | on)
    shown = capsys.readouterr().out
    assert "declared, unchanged since " in shown and on["settings"]["hash"][:10] in shown and "xnode/" in shown


def test_a_price_in_another_asset_than_the_daemon_runs_with_is_neither_saved_nor_announced(
    xnode_here: Run, home: Home, declared: Path, serve: Callable[[Mapping[str, Method]], None]
) -> None:
    home.config.write_text(declared.read_text())
    asked: list[dict[str, Any]] = []
    differing = [{"name": "provider.asset", "running": "OPENX", "declared": "tCPU", "is_live": False}]

    async def set_price(params: dict[str, Any]) -> dict[str, str]:
        asked.append(params)
        return {"vcpu_hour": "0.5", "gpu_hour": "7"}

    async def diff(_params: dict[str, Any]) -> list[dict[str, Any]]:
        return differing

    serve({"provider.set_price": set_price, "config.diff": diff})
    before = home.config.read_text()
    done = xnode_here("provider", "price", "set", "vcpu_hour=0.5")
    assert (done.returncode, asked, home.config.read_text()) == (ExitCode.CONFLICT, [], before), done.stderr
    assert "runs with prices in OPENX, and the settings say tCPU" in done.stderr and "hint: restart" in done.stderr
    differing.clear()
    done = xnode_here("provider", "price", "set", "vcpu_hour=0.5", "-o", "json")
    assert done.returncode == 0 and len(asked) == 1
    # What is printed is what the daemon announces.
    assert json.loads(done.stdout) == {"asset": "OPENX", "vcpu_hour": "0.5", "gpu_hour": "7"}
