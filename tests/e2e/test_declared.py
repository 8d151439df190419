"""Declared settings with a real daemon: a signal takes them in whole, kill -9 forgets neither them nor since when they stand."""

from __future__ import annotations

import os
import signal
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scheduler.offer import SETTINGS_HASH_CHARS
from tests.e2e.market import Market, wait_until
from tests.e2e.test_first_steps import Person, folder, processes
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from xnode import __version__
from xnode.chain.deployment.manifest import write_manifest
from xnode.config.file import read_table, write_config
from xnode.control.client import Control

pytestmark = [pytest.mark.net, pytest.mark.slow]

__all__ = ["folder", "processes"]

SETTINGS = """\
[node]
listen = ["/ip4/127.0.0.1/tcp/0"]
dht = false

[chain]
manifest = "chain.toml"
rpc_url = "http://127.0.0.1:9"
"""


class Declared:
    """A node whose settings are declared outside its home, by a link; no chain answers it, which it waits out."""

    def __init__(self, folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
        self.person, self._processes = Person(folder, "node"), processes
        self.person.home.make()
        write_manifest(self.person.home.folder / "chain.toml", msgspec.structs.replace(MANIFEST, bootstrap=()))
        self.store = folder / "store.toml"
        self.store.write_text(SETTINGS)
        self.file = folder / "declared.toml"
        self.file.symlink_to(self.store)
        self.process = self.start()

    def start(self, stderr: int | None = None) -> subprocess.Popen[bytes]:
        self.process = self.person.begin(f"--config {self.file} daemon run", stderr)
        self._processes.append(self.process)
        wait_until(Control(self.person.home.control).is_up, "the daemon answers", 60)
        return self.process

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = self.person.ask("daemon status")["settings"]
        return found

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def declared(folder: Path, processes: list[subprocess.Popen[bytes]]) -> Declared:
    return Declared(folder, processes)


def test_a_signal_takes_what_is_declared_and_kill_9_forgets_nothing(declared: Declared) -> None:
    first = declared.settings()
    assert (first["declared_in"], first["differing"], first["problem"]) == (str(declared.file), [], "")
    declared.kill()
    declared.start()
    again = declared.settings()
    assert (again["hash"], again["unchanged_since_ns"]) == (first["hash"], first["unchanged_since_ns"])

    declared.store.write_text(SETTINGS + '[submitter]\nsilence = "60s"\n')
    assert declared.settings()["differing"] == ["submitter.silence"]
    declared.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not declared.settings()["differing"], "the signal is heeded", 30)
    taken = declared.settings()
    assert taken["hash"] != first["hash"] and taken["unchanged_since_ns"] > first["unchanged_since_ns"]
    declared.kill()
    declared.start()
    assert declared.settings() == taken


def test_a_mistake_or_what_needs_a_restart_is_told_and_the_daemon_goes_on(declared: Declared) -> None:
    first = declared.settings()
    declared.store.write_text(SETTINGS + '[submitter]\nsilence = "1s"\n')
    declared.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings not reloaded" in declared.person.read_log(), "the refusal is logged", 30)
    assert "submitter.silence" in declared.settings()["problem"]
    declared.store.write_text(SETTINGS.replace("dht = false", "dht = true"))
    found = declared.settings()
    assert (found["hash"], found["differing"]) == (first["hash"], ["node.dht"])
    with pytest.raises(AssertionError, match=r"needs a restart: node\.dht"):
        declared.person.run("config reload")
    declared.process.send_signal(signal.SIGTERM)
    assert declared.process.wait(30) == 0
    declared.person.run(f"--config {declared.file} daemon start")
    found = declared.settings()
    assert (found["declared_in"], found["differing"]) == (str(declared.file), []), (
        "the background has the same settings"
    )
    assert found["hash"] != first["hash"]
    declared.person.run("daemon stop")


def test_a_terminal_that_is_gone_ends_the_daemon_that_it_began(declared: Declared) -> None:
    declared.kill()
    ours, theirs = os.openpty()
    declared.process = declared.start(stderr=theirs)
    declared.process.send_signal(signal.SIGHUP)
    assert declared.process.wait(30) == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.engine
@pytest.mark.chain
def test_an_offer_names_the_settings_that_its_provider_runs_with_and_a_reload_is_offered_at_once(
    market: Market,
) -> None:
    home, provider = market.provider.home, market.provider.control
    before = read_table(home)
    # The ports were written down after it had begun, which a reload would have to refuse.
    market.net.stop(market.provider)
    market.restart_dead()

    def is_offered(hour: str) -> bool:
        settings_hash = provider.call("provider.status")["settings"]["hash"][2 : 2 + SETTINGS_HASH_CHARS]
        rows = [one for one in market.find_offers() if one["node"] == market.provider.address]
        seen = [(one["software"], one["settings_hash"], Decimal(one["prices"]["vcpu_hour"])) for one in rows]
        return seen == [(f"xnode/{__version__}", settings_hash, Decimal(hour))]

    hour = before["provider"]["prices"]["vcpu_hour"]
    wait_until(lambda: is_offered(hour), "the offer names the settings", 60)
    prices = {**before["provider"]["prices"], "vcpu_hour": "0.77"}
    write_config(home, {**before, "provider": {**before["provider"], "prices": prices}})
    assert [one["name"] for one in provider.call("config.diff")] == ["provider.prices.vcpu_hour"]
    for table, wanted in ((None, "0.77"), (before, hour)):
        if table is not None:
            write_config(home, table)
        assert [one["declared"] for one in provider.call("config.reload")] == [f'"{wanted}"']
        wait_until(lambda wanted=wanted: is_offered(wanted), "what was reloaded is offered", 60)
