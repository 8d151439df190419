"""`xnode upgrade --check`: what this version would do with a home, said without touching it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace as change
from typing import Any

import pytest
from msgspec.structs import replace

from metering.units import ZERO_HASH, Hash32
from tests.make.values import SEPARATOR
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.conftest import Run
from tests.xnode.store.test_released import VERSIONS, unpack_store
from xnode import __version__
from xnode.chain.deployment.manifest import write_manifest
from xnode.cli.node.upgrade import Facts, judge_upgrade
from xnode.errors import ExitCode, Permanent, Retryable, UserError
from xnode.home import Home
from xnode.runtime.host.fitness import Finding
from xnode.store.inspection import Contents, StoreFacts
from xnode.store.mark import FORM, NAME, Mark

CONTENTS = Contents(12, {}, (), SEPARATOR, ())
STORE = StoreFacts("0004", "0004", CONTENTS)
FACTS = Facts(Mark("0.6.0", 1), (), SEPARATOR, STORE, "chain 1 at there", "")
LEASE = Hash32(b"\x12" * 32)


def judge(**changes: Any) -> dict[str, Finding]:
    """The worst finding of each kind."""
    found: dict[str, Finding] = {}
    for one in judge_upgrade(change(FACTS, **changes), "0.7.0"):
        if one.what not in found or found[one.what].verdict != "fail":
            found[one.what] = one
    return found


def with_store(**changes: Any) -> StoreFacts:
    return change(STORE, contents=change(CONTENTS, **changes))


def test_nothing_to_do_is_well_in_every_line() -> None:
    found = judge()
    assert {one.verdict for one in found.values()} == {"ok"}
    assert found["version"].detail == "this is xnode 0.7.0; 0.6.0 used this home last"
    assert found["schema"].detail == "0004, as this version writes it"


def test_a_home_of_no_version_yet_is_well_too() -> None:
    found = judge(mark=Mark(), store=StoreFacts("", "0004"))
    assert found["version"].detail.endswith("no version has used this home yet")
    assert found["store"].detail == "there is none yet" and "schema" not in found


def test_an_older_schema_says_what_the_start_makes_of_it_and_that_there_is_no_way_back() -> None:
    found = judge(store=StoreFacts("0003", "0004", CONTENTS))
    assert found["schema"].verdict == "warn"
    assert found["schema"].detail.startswith("the start brings it from 0003 to 0004, in 0.0 s on a copy; after that no")
    assert found["schema"].hint == "back the home up first"


def test_a_newer_schema_is_a_failure_and_nothing_else_is_said_of_it() -> None:
    found = judge(store=StoreFacts("0009", "0004"))
    assert found["store"].verdict == "fail" and "its schema is 0009" in found["store"].detail
    assert "leases" not in found or found["leases"].verdict != "fail"


def test_a_record_that_cannot_be_read_is_a_failure_that_names_it() -> None:
    found = judge(store=with_store(faults=("provider_lease: missing field",)))
    assert (found["store"].verdict, found["store"].hint) == ("fail", "run the version that used it last")
    assert "provider_lease: missing field" in found["store"].detail and "schema" not in found


def test_leases_under_way_go_on_and_are_counted_by_side() -> None:
    found = judge(store=with_store(running={"submitter": 1, "provider": 2}, unsettled=(LEASE,)))
    assert found["leases"].verdict == "warn"
    assert found["leases"].detail == "2 leases as provider, 1 lease as submitter under way: they go on over a restart"


def test_unsettled_leases_on_other_contracts_are_a_failure_and_settled_ones_a_warning() -> None:
    other = Hash32(b"\7" * 32)
    stuck = judge(store=with_store(unsettled=(LEASE,), separator=other))["leases"]
    assert stuck.verdict == "fail" and f"0x{LEASE.hex()[:16]}" in stuck.detail
    assert judge(store=with_store(separator=other))["leases"].verdict == "warn"
    assert judge(store=with_store(separator=other, unsettled=(LEASE,)), separator=ZERO_HASH)["leases"].verdict == "ok"


def test_what_cannot_be_looked_at_is_a_failure_and_a_chain_that_is_away_only_a_warning() -> None:
    problems = (
        ("settings", UserError("provider.color: unknown key\nhint: remove it", where="config.toml")),
        ("contracts", Permanent("0x1 is not the Escrow we know", hint="upgrade xnode")),
    )
    found = judge(problems=problems, contracts="")
    assert (found["settings"].verdict, found["settings"].hint) == ("fail", "remove it")
    assert (found["contracts"].verdict, found["contracts"].hint) == ("fail", "upgrade xnode")
    away = judge(problems=(("contracts", Retryable("no answer")),), contracts="")["contracts"]
    assert (away.verdict, away.detail) == ("warn", "no answer: not looked at")


def test_a_daemon_of_another_version_goes_on_until_it_is_restarted() -> None:
    assert "0.6.0 runs here" in judge(running="0.6.0")["daemon"].detail
    assert "daemon" not in judge(running="0.7.0")


# ------------------------------------------------------------------------------------------------------ the command itself


@pytest.fixture
def configured(home: Home) -> Home:
    write_manifest(home.folder / "manifest.toml", replace(MANIFEST, rpc_url="http://127.0.0.1:9"))
    home.config.write_text('[chain]\nmanifest = "manifest.toml"\n')
    home.data.mkdir()
    return home


def hash_home(home: Home) -> dict[str, str]:
    files = [path for path in home.folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("role", ["submitter", "provider"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_home_of_each_release_is_judged_and_stays_as_it_was(
    version: str, role: str, configured: Home, xnode_here: Run
) -> None:
    unpack_store(version, role, configured.data)
    before = hash_home(configured)
    done = xnode_here("upgrade", "--check", "--offline", "-o", "json")
    found = {one["what"]: one for one in json.loads(done.stdout)}
    # The fixture's leases are on the simulation's contracts, and the manifest names others.
    assert done.returncode == ExitCode.FAILED and found["leases"]["verdict"] == "fail"
    assert found["store"]["verdict"] == "ok" and "0.5.0 or older used this home last" in found["version"]["detail"]
    assert hash_home(configured) == before


def test_an_unknown_setting_a_newer_mark_and_a_manifest_of_before_are_each_a_line_with_a_hint(
    configured: Home, xnode_here: Run
) -> None:
    configured.config.write_text('[chain]\nmanifest = "manifest.toml"\n[node]\nliste = []\n')
    (configured.data / NAME).write_text(json.dumps({"version": "9.0.0", "form": FORM + 1}))
    done = xnode_here("upgrade", "--check")
    assert done.returncode == ExitCode.FAILED
    assert "node.liste: unknown key" in done.stdout and 'did you mean "listen"?' in done.stdout
    assert "xnode 9.0.0 has used this data" in done.stdout
    assert done.stdout.count("hint:") >= 2
    configured.config.write_text('[chain]\nmanifest = "manifest.toml"\n')
    (configured.folder / "manifest.toml").write_text("chain_id = 1\n[contracts]\n")
    assert "it is of an older deployment" in xnode_here("upgrade", "--check").stdout


def test_a_home_that_is_new_is_fine_and_a_chain_that_is_away_only_a_warning(configured: Home, xnode_here: Run) -> None:
    done = xnode_here("upgrade", "--check")
    assert done.returncode == 0, done.stdout
    assert f"this is xnode {__version__}; no version has used this home yet" in done.stdout
    assert "not looked at" in done.stdout


def test_without_check_it_says_who_upgrades(configured: Home, xnode_here: Run) -> None:
    done = xnode_here("upgrade")
    assert done.returncode == ExitCode.USAGE and "xnode upgrade --check" in done.stderr


def test_the_daemon_itself_refuses_a_newer_home_before_it_touches_it(configured: Home, xnode_here: Run) -> None:
    unpack_store(VERSIONS[-1], "provider", configured.data)
    xnode_here("wallet", "ls")
    (configured.data / NAME).write_text(json.dumps({"version": "9.0.0", "form": FORM + 1}))
    from xnode.config.load import load_config
    from xnode.daemon import run_daemon

    before = {name: one for name, one in hash_home(configured).items() if not name.endswith("daemon.pid")}
    with pytest.raises(UserError, match=r"xnode 9\.0\.0 has used this data"):
        run_daemon(load_config(configured))
    after = {name: one for name, one in hash_home(configured).items() if not name.endswith("daemon.pid")}
    assert after == before and not (configured.data / "blobs").exists()
