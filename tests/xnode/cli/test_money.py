"""Wallets, deposits and registration, by the program itself on a devnet of its own."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from metering.units import Address
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.conftest import DEADLINE_S, Run, error_lines
from xnode.chain.deployment.manifest import parse_address, write_manifest
from xnode.cli.access.shortage import more_hint
from xnode.cli.money.send import check_recipient
from xnode.errors import ExitCode, UserError
from xnode.home import Home

KEY = "0x" + "11" * 32
KEY_ADDRESS = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"


def test_a_new_wallet_is_a_file_for_its_owner_and_an_address(xnode: Run, home: Home, password: str) -> None:
    done = xnode("wallet", "new", "cold", "--password-file", password)
    assert done.returncode == 0 and done.stdout.startswith("0x") and len(done.stdout) == 43
    file = home.keystore / "cold"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.keystore.stat().st_mode) == 0o700
    assert json.loads(file.read_text())["version"] == 3
    rows = json.loads(xnode("wallet", "ls", "-o", "json").stdout)
    assert [(row["name"], row["address"]) for row in rows] == [("cold", done.stdout.strip())]
    assert done.stdout.strip() in xnode("wallet", "show", "cold").stdout
    unasked = xnode("wallet", "new", "cold")
    assert unasked.returncode == ExitCode.CONFLICT, "before a password is asked for"
    again = xnode("wallet", "new", "cold", "--password-file", password)
    assert again.returncode == ExitCode.CONFLICT and len(error_lines(again.stderr)) == 1


def test_the_password_of_a_wallet_is_asked_for_without_a_doubled_word(xnode: Run) -> None:
    assert "the new key wallet: a password is needed" in xnode("wallet", "new").stderr


def test_only_openx_is_given_away_by_a_devnet() -> None:
    wallet = parse_address(KEY_ADDRESS, "")
    assert "devnet fund" in more_hint(MANIFEST, MANIFEST.contracts.openx_token, wallet)
    assert more_hint(MANIFEST, MANIFEST.find_asset("USD").address, wallet) == "send it more"
    (credit,) = MANIFEST.credits
    hint = f"xnode provider mint AMOUNT --asset {credit.symbol} --to {KEY_ADDRESS}"
    assert more_hint(MANIFEST, credit.address, wallet) == f"have a provider mint more: {hint}"


def test_a_private_key_comes_by_pipe_and_is_never_shown(xnode: Run, password: str) -> None:
    done = xnode("wallet", "import", "--name", "old", stdin=f"{KEY}\n", env={"ETH_PASSWORD": password})
    assert done.stdout.strip() == KEY_ADDRESS
    assert KEY[2:] not in done.stdout + done.stderr
    wrong = xnode("wallet", "import", "--name", "bad", stdin=f"{KEY}1\n", env={"ETH_PASSWORD": password})
    assert wrong.returncode == ExitCode.USAGE and "111" not in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("wallet", "show"), ExitCode.NOT_FOUND, "wallet new"),
        (("wallet", "show", "nobody"), ExitCode.NOT_FOUND, "nobody"),
        (("wallet", "new"), ExitCode.USAGE, "--password-file"),
        (("wallet", "new", "--password-file", "nowhere"), ExitCode.USAGE, "nowhere"),
        (("wallet", "new", "a/b", "--password-file", "pw"), ExitCode.USAGE, "a/b"),
        (("wallet", "import", "nowhere.json", "--password-file", "pw"), ExitCode.USAGE, "nowhere.json"),
        (("pay", "deposit", "1"), ExitCode.USAGE, "daemon init --chain"),
        (("pay", "balance", "--chain", "nowhere"), ExitCode.NOT_FOUND, "wallet new"),
        (("provider", "init", "--chain", "nowhere"), ExitCode.NOT_FOUND, "wallet new"),
        (("devnet", "fund", "0x12"), ExitCode.USAGE, "not an address"),
        (("devnet", "fund", KEY_ADDRESS), ExitCode.NO_DAEMON, "xnode devnet up"),
    ],
)
@pytest.mark.usefixtures("password")
def test_a_mistake_with_money_is_one_line(xnode: Run, arguments: tuple[str, ...], code: ExitCode, words: str) -> None:
    done = xnode(*arguments)
    assert done.returncode == code, done.stderr
    assert len(error_lines(done.stderr)) == 1 and words in done.stderr


@pytest.mark.parametrize("address", [b"\0" * 20, b"\x0b" * 20, MANIFEST.contracts.payment_escrow, b"\xe1" * 20])
def test_nothing_is_sent_where_nobody_could_take_it_out(address: bytes) -> None:
    with pytest.raises(UserError) as caught:
        check_recipient(MANIFEST, Address(b"\xe1" * 20), Address(address))
    assert caught.value.where == "TO" and caught.value.code is ExitCode.REFUSED
    check_recipient(MANIFEST, Address(b"\xe1" * 20), Address(b"\xe2" * 20))


@pytest.mark.parametrize(
    "arguments",
    [
        ("provider", "stake", ""),
        ("provider", "unstake", "--withdraw", ""),
        ("provider", "mint", ""),
        ("provider", "mint", "1", "--to", ""),
        ("provider", "burn", "1", "--at", ""),
        ("provider", "capacity", "--of", ""),
        ("provider", "reputation", ""),
        ("pay", "deposit", "1", "--cap", ""),
    ],
)
def test_a_variable_that_was_not_set_is_not_taken_for_the_default(xnode_here: Run, arguments: tuple[str, ...]) -> None:
    done = xnode_here(*arguments)
    assert done.returncode == ExitCode.USAGE and "it is empty" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("text", "hint"), [("usd", f"USD is at 0x{'DD' * 20}"), ("GOLD", "the manifest has the addresses")]
)
def test_a_symbol_where_an_address_is_wanted_says_where_the_address_is(
    xnode: Run, home: Home, text: str, hint: str
) -> None:
    write_manifest(home.folder / "chain.toml", MANIFEST)
    done = xnode("chain", "call", "escrow", "free", KEY_ADDRESS, text, "--chain", "chain.toml")
    assert done.returncode == ExitCode.USAGE and hint.lower() in done.stderr.lower()


@pytest.mark.parametrize("command", [("call", "token", "totalSupply"), ("governance",)])
def test_a_deployment_that_names_no_chain_node_can_be_asked_through_one_that_is_named(
    xnode_here: Run, home: Home, command: tuple[str, ...]
) -> None:
    write_manifest(home.folder / "chain.toml", msgspec.structs.replace(MANIFEST, rpc_url=""))
    words = ("chain", *command, "--chain", "chain.toml")
    nowhere = xnode_here(*words)
    assert nowhere.returncode == ExitCode.USAGE and "name one with --rpc-url" in nowhere.stderr
    # Nobody listens there: so it was asked.
    done = xnode_here(*words, "--rpc-url", "http://127.0.0.1:9")
    assert done.returncode == ExitCode.UNREACHABLE, done.stderr


@pytest.mark.chain
@pytest.mark.slow
def test_three_commands_make_a_provider_and_doing_them_again_changes_nothing(
    xnode_here: Run, home: Home, manifest: str, password: str
) -> None:
    env = {"ETH_PASSWORD": password}
    owner = xnode_here("wallet", "new", env=env).stdout.strip()
    assert xnode_here("devnet", "fund", owner).returncode == 0
    done = xnode_here("provider", "init", "--chain", manifest, "--region", "eu", env=env)
    assert done.returncode == 0, done.stderr
    assert f"serves {owner}" in done.stderr and "next: xnode provider run" in done.stderr
    assert stat.S_IMODE(home.password.stat().st_mode) == 0o600
    assert 'vcpu_hour = "0.02"' in home.config.read_text()
    config, key = home.config.read_text(), home.node_key.read_text()
    again = xnode_here("provider", "init", "--chain", manifest, env=env)
    assert again.returncode == 0 and "registered already" in again.stderr
    assert (home.config.read_text(), home.node_key.read_text()) == (config, key)
    nothing = xnode_here("provider", "withdraw", env=env)
    assert nothing.returncode == 0 and "nothing waits" in nothing.stderr and nothing.stdout == ""

    home.node_key.unlink()
    gone = xnode_here("provider", "init", "--chain", manifest, env=env)
    assert gone.returncode == ExitCode.CONFLICT and "node.address" in error_lines(gone.stderr)[-1]
    home.node_address.unlink()
    other = xnode_here("provider", "init", "--chain", manifest, env=env)
    assert other.returncode == ExitCode.CONFLICT and "--force" in error_lines(other.stderr)[-1]
    assert xnode_here("provider", "init", "--chain", manifest, "--force", env=env).returncode == 0
    healthy = xnode_here("doctor", "-o", "json")
    findings = {row["what"]: row["verdict"] for row in json.loads(healthy.stdout)}
    assert findings["chain"] == findings["node key"] == findings["keystore"] == "ok"


@pytest.mark.chain
@pytest.mark.slow
def test_a_deposit_lets_the_node_spend_it_and_comes_back(
    xnode_here: Run, home: Home, manifest: str, password: str
) -> None:
    env = {"ETH_PASSWORD": password}
    payer = xnode_here("wallet", "new", env=env).stdout.strip()
    assert xnode_here("devnet", "fund", payer).returncode == 0
    done = xnode_here("pay", "deposit", "5.5", "--chain", manifest, "-o", "json", env=env)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["payer"], answer["deposited"], answer["node_may_use"]) == (payer, "5.5", "5.5")
    assert f'payer = "{payer}"' in home.config.read_text()
    assert json.loads(xnode_here("pay", "approve", "2", "-o", "json", env=env).stdout)["node_may_use"] == "2"

    for arguments, code in (
        (("pay", "deposit", "1000000"), ExitCode.FUNDS),
        (("pay", "deposit", "1.x"), ExitCode.USAGE),
        (("pay", "deposit", "0.0000000000000000001"), ExitCode.USAGE),
        (("pay", "deposit", "1", "--asset", "GOLD"), ExitCode.USAGE),
    ):
        wrong = xnode_here(*arguments, env=env)
        assert wrong.returncode == code and len(error_lines(wrong.stderr)) == 1, wrong.stderr
    (home.folder / "wrong").write_text("battery staple")
    refused = xnode_here("pay", "deposit", "1", "--password-file", str(home.folder / "wrong"))
    assert refused.returncode == ExitCode.REFUSED and "wrong password" in refused.stderr

    less = xnode_here("pay", "withdraw", "20", env=env)
    assert less.returncode == ExitCode.FUNDS and "xnode pay withdraw all --asset OPENX" in less.stderr
    assert json.loads(xnode_here("pay", "withdraw", "all", "-o", "json", env=env).stdout)["deposited"] == "0"
    row, *_ = json.loads(xnode_here("wallet", "balance", "-o", "json").stdout)["assets"]
    assert (row["wallet"], row["deposited"], row["node_cap"]) == ("10000", "0", "2")


@pytest.mark.chain
@pytest.mark.slow
def test_a_deposit_sends_the_node_the_gas_to_take_money_back_with(
    xnode_here: Run, home: Home, manifest: str, password: str
) -> None:
    # A home of its own: a devnet funds the keys of its own home automatically.
    env = {"ETH_PASSWORD": password, "XNODE_HOME": str(home.folder / "away")}
    payer = xnode_here("wallet", "new", env=env).stdout.strip()
    assert xnode_here("devnet", "fund", "--folder", str(Path(manifest).parent), payer, env=env).returncode == 0

    def read_gas() -> tuple[str, str]:
        seen = xnode_here("pay", "balance", "--chain", manifest, env=env)
        answer = json.loads(xnode_here("pay", "balance", "--chain", manifest, "-o", "json", env=env).stdout)
        return answer["node_native"], seen.stderr

    assert xnode_here("daemon", "init", "--chain", manifest, env=env).returncode == 0
    assert xnode_here("pay", "approve", "1", env=env).returncode == 0
    gas, said = read_gas()
    assert gas == "0" and "hint:" in said and "xnode pay gas" in said
    assert xnode_here("pay", "deposit", "5", env=env).returncode == 0
    gas, said = read_gas()
    assert gas == "0.01" and "pay gas" not in said
    more = xnode_here("pay", "gas", "0.5", "-o", "json", env=env)
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["for_gas"] == "0.51"
    enough = xnode_here("pay", "gas", env=env)
    assert "has enough" in enough.stderr and "0.51" in enough.stdout
    beyond = xnode_here("pay", "gas", "1000000000", env=env)
    assert beyond.returncode == ExitCode.FUNDS and len(error_lines(beyond.stderr)) == 1


@pytest.mark.chain
@pytest.mark.slow
def test_what_a_wallet_sends_another_has(xnode_here: Run, manifest: str, password: str) -> None:
    env = {"ETH_PASSWORD": password}
    sender = xnode_here("wallet", "new", "sender", env=env).stdout.strip()
    taker = KEY_ADDRESS
    assert xnode_here("devnet", "fund", sender).returncode == 0
    send = ("wallet", "send", "--from", "sender", "--chain", manifest)
    unasked = xnode_here(*send, "2.5", taker, env=env)
    assert unasked.returncode == ExitCode.USAGE and "--yes" in unasked.stderr
    itself = xnode_here(*send, "2.5", "sender", "--yes", env=env)
    assert itself.returncode == ExitCode.REFUSED and "is the wallet itself" in itself.stderr
    done = xnode_here(*send, "2.5", taker, "--yes", "-o", "json", env=env)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer == {
        "from": sender, "to": taker, "asset": "OPENX", "sent": "2.5", "left": "9997.5", "recipient_has": "2.5",
    }  # fmt: skip
    more = xnode_here(*send, "9998", taker, "--yes", env=env)
    assert more.returncode == ExitCode.FUNDS and "the wallet has 9997.5 OPENX" in more.stderr
    none = xnode_here(*send, "1", taker, "--asset", "tCPU", "--yes", env=env)
    assert none.returncode == ExitCode.FUNDS and "provider mint" in none.stderr
    assert xnode_here("pay", "deposit", "4", "--from", "sender", "--chain", manifest, env=env).returncode == 0
    rest = xnode_here(*send, "all", taker, "--yes", "-o", "json", env=env)
    assert json.loads(rest.stdout)["recipient_has"] == "9996"
    empty = xnode_here(*send, "all", taker, "--yes", env=env)
    assert empty.returncode == ExitCode.FUNDS and "4 OPENX deposited: xnode pay withdraw" in empty.stderr


@pytest.mark.chain
@pytest.mark.slow
def test_a_chain_that_is_away_is_unreachable_and_said_so(
    xnode_here: Run, manifest: str, password: str, home: Home
) -> None:
    assert xnode_here("wallet", "new", "--password-file", password).returncode == 0
    good = Path(manifest).read_text()
    for changed, code, words in (
        (re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", good), ExitCode.UNREACHABLE, "cannot be reached"),
        (re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:99999", good), ExitCode.USAGE, "rpc_url"),
        (good.replace("chain_id = 31337", "chain_id = 1"), ExitCode.UNREACHABLE, "serves chain 31337"),
    ):
        (home.folder / "changed.toml").write_text(changed)
        done = xnode_here("pay", "balance", "--chain", str(home.folder / "changed.toml"))
        assert done.returncode == code and words in done.stderr and len(error_lines(done.stderr)) == 1, done.stderr


@pytest.mark.slow
def test_a_daemon_that_cannot_start_says_why_in_the_command_that_started_it(xnode: Run, home: Home) -> None:
    (home.folder / "image").mkdir()
    (home.folder / "image" / "index.json").write_text("{}")
    (home.folder / "job.yaml").write_text("image: oci:./image\ntime_limit: 1m\nbudget: 1 OPENX\n")
    none = xnode("job", "submit", "--yes")
    assert none.returncode == ExitCode.USAGE and "daemon init --chain" in none.stderr
    home.config.write_text('[chain]\nmanifest = "nowhere.toml"\n')
    done = xnode("job", "submit", "--yes")
    assert done.returncode == ExitCode.FAILED
    (line,) = [line for line in error_lines(done.stderr) if line.startswith("error: ")]
    assert "nowhere.toml" in line and str(home.log) in line
    assert stat.S_IMODE(home.log.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_second_daemon_in_one_home_is_turned_away(xnode: Run, home: Home) -> None:
    home.config.write_text('[chain]\nmanifest = "nowhere.toml"\n')
    home.node_key.write_text("{}")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from xnode.control.server import hold_pid_file\n"
            "with hold_pid_file(Path(sys.argv[1])): print(flush=True); sys.stdin.read()",
            str(home.pid),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert holder.stdin and holder.stdout
    try:
        holder.stdout.readline()
        done = xnode("daemon", "run")
        assert done.returncode == ExitCode.CONFLICT and f"pid {holder.pid}" in done.stderr
    finally:
        holder.stdin.close()
        holder.wait(DEADLINE_S)
        holder.stdout.close()
