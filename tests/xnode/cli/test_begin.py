"""Begin: the parts of `provider setup` and `quickstart` that ask no chain: questions, the wallet, the host, what to deposit."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import trio

from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.conftest import Run, error_lines
from xnode.cli.app import App
from xnode.cli.begin.host import refuse_unfit
from xnode.cli.begin.questions import Questions
from xnode.cli.begin.submitter import DEFAULT_DEPOSIT, Deposit, choose_amount
from xnode.cli.begin.wallet import open_wallet
from xnode.config.load import check_table
from xnode.errors import ExitCode, UserError
from xnode.home import Home
from xnode.runtime.host.fitness import Finding
from xnode.text.amount import OPENX
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

ASSET = MANIFEST.find_asset("OPENX")

ALL = Questions(yes=True)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ETH_PASSWORD", "ETH_FROM", "ETH_KEYSTORE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(Home(tmp_path / "home"), debug=False)


def test_a_wallet_that_nobody_is_asked_about_has_a_random_password_in_a_private_file(app: App) -> None:
    made = open_wallet(app, "", None, yes=True)
    assert made.password_file == app.home.wallet_password
    assert stat.S_IMODE(app.home.wallet_password.stat().st_mode) == 0o600 and len(made.password) > 40
    again = open_wallet(app, "", None, yes=True)
    assert (again.address, again.password) == (made.address, made.password), "the same wallet, no second one"
    assert len(Keystore(app.home.keystore).list()) == 1


def test_a_try_that_was_cut_off_before_the_key_goes_on_with_its_password(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "make_new", die)
        with pytest.raises(KeyboardInterrupt):
            open_wallet(app, "", None, yes=True)
    kept = app.home.wallet_password.read_text().strip()
    assert open_wallet(app, "", None, yes=True).password == kept


def test_a_password_of_the_persons_own_is_taken_from_the_file_that_is_named(app: App, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("correct horse\n")
    made = open_wallet(app, "", tmp_path / "pw", yes=True)
    assert made.password == "correct horse" and not app.home.wallet_password.exists()


def test_a_wallet_that_is_there_is_opened_and_never_replaced(app: App, tmp_path: Path) -> None:
    entry = trio.run(Keystore(app.home.keystore).make_new, "mine", "secret", MACHINE_ROUNDS)
    with pytest.raises(UserError, match="--yes asks nothing") as caught:
        open_wallet(app, "", None, yes=True)
    assert "--password-file" in caught.value.hint
    (tmp_path / "pw").write_text("wrong\n")
    with pytest.raises(UserError, match="password"):
        open_wallet(app, "", tmp_path / "pw", yes=True)
    (tmp_path / "pw").write_text("secret\n")
    assert open_wallet(app, "mine", tmp_path / "pw", yes=True).address == entry.address
    with pytest.raises(UserError, match="no key 'other'"):
        open_wallet(app, "other", tmp_path / "pw", yes=True)


def test_questions_are_asked_of_no_one_where_there_is_no_terminal(xnode: Run) -> None:
    for command in (("provider", "setup", "--chain", "m.toml"), ("quickstart", "--chain", "m.toml")):
        done = xnode(*command)
        (line,) = error_lines(done.stderr)
        assert done.returncode == ExitCode.REFUSED
        assert "this is not a terminal" in line and "--yes takes the default of each" in line
    assert ALL.ask("Where?", "local") == "local"
    ALL.agree("Really?", "")


def test_without_a_manifest_each_says_where_one_comes_from_and_has_made_nothing(xnode: Run, home: Home) -> None:
    for command in (("provider", "setup", "--yes"), ("quickstart", "--yes")):
        done = xnode(*command)
        (line,) = error_lines(done.stderr)
        assert done.returncode == ExitCode.USAGE and "xnode devnet up" in line
    assert not home.keystore.exists() and not home.wallet_password.exists()


def test_all_that_a_host_lacks_is_said_at_once_each_with_its_hint() -> None:
    lacks = [
        Finding("fail", "programs", "podman is not installed", "apt-get install podman"),
        Finding("warn", "clock", "not synchronized"),
        Finding("fail", "cgroups", "no memory controller"),
    ]
    with pytest.raises(UserError) as caught:
        refuse_unfit(lacks)
    assert caught.value.what.splitlines() == [
        "programs: podman is not installed",
        "hint: apt-get install podman",
        "cgroups: no memory controller",
        "this host cannot serve workloads as it is",
    ]
    assert caught.value.code is ExitCode.FAILED
    refuse_unfit([lacks[1]])


def test_what_is_deposited_once_is_not_deposited_again(app: App) -> None:
    app.home.make()
    (app.home.config).write_text('[chain]\nmanifest = "m.toml"\n')
    assert check_table(app.home, {"chain": {"manifest": "m.toml"}}).node.data_dir == app.home.data
    twenty = int(DEFAULT_DEPOSIT) * OPENX

    def choose(text: str | None, free: int, cap: int) -> int:
        return choose_amount(app, ASSET, text, Deposit(free, cap, 0), ALL)  # type: ignore[arg-type]

    assert choose(None, 0, 0) == twenty, "the first time"
    assert choose(None, twenty, 0) == twenty, "cut off before the node was let use it"
    assert choose(None, twenty, 5) == 5, "a cap that a person has set stays"
    assert choose("7", 0, 0) == 7 * OPENX and choose("0", 0, 0) == 0
    app.home.data.mkdir()
    (app.home.data / "xnode.db").touch()
    assert choose(None, 0, 0) == 0, "a node that has run has spent it, and is asked for more by name only"
    assert choose("3", 0, 0) == 3 * OPENX
