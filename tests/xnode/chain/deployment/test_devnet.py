"""The devnet as a person has it: up, funded, stopped, killed, and up again with its state."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
import trio

from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import TOKEN, make_wallet, start_anvil
from xnode.chain.client import open_client
from xnode.chain.contracts import openx_token
from xnode.chain.deployment import anvil
from xnode.chain.deployment.devnet import FUND_OPENX, FUND_WEI, OWNER_KEY, Devnet, DevnetOptions, open_devnet
from xnode.chain.deployment.manifest import read_manifest
from xnode.chain.send.tx_journal import make_engine
from xnode.errors import ExitCode, Permanent, UserError, real_error_of
from xnode.text.hex import to_hex
from xnode.wallet.signer import WalletKey

pytestmark = pytest.mark.chain

OWNER = WalletKey(OWNER_KEY)


def options(folder: Path, **changes: object) -> DevnetOptions:
    return DevnetOptions(folder, OWNER, **changes)  # type: ignore[arg-type]


async def money_of(devnet: Devnet, address: Address) -> tuple[int, int]:
    wei = int(await devnet.rpc.read("eth_getBalance", to_hex(address), "latest"), 16)
    return wei, await devnet.rpc.view(devnet.manifest.contracts.openx_token, openx_token.BALANCE_OF, address)


async def test_up_gives_contracts_a_manifest_and_money(tmp_path: Path) -> None:
    ones = [make_wallet().address for _ in range(3)]
    with trio.fail_after(60):
        async with open_devnet(options(tmp_path)) as devnet:
            await devnet.fund(ones, wei=2 * TOKEN, openx=5 * TOKEN)
            assert [await money_of(devnet, one) for one in ones] == [(2 * TOKEN, 5 * TOKEN)] * 3
            await devnet.fund(ones, wei=2 * TOKEN, openx=5 * TOKEN)
            assert [await money_of(devnet, one) for one in ones] == [(2 * TOKEN, 5 * TOKEN)] * 3
            manifest = read_manifest(tmp_path / "manifest.toml")
            assert manifest == devnet.manifest
            async with open_client(manifest, OWNER, make_engine(tmp_path / "other.sqlite")) as client:
                assert "chain 31337" in await client.check()


async def test_one_wallet_funded_from_two_sides_at_once_is_filled_once(tmp_path: Path) -> None:
    one = make_wallet().address
    async with open_devnet(options(tmp_path)) as devnet:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(devnet.fund, [one])
        assert await money_of(devnet, one) == (FUND_WEI, FUND_OPENX)


async def test_blocks_come_by_themselves_at_the_block_time(tmp_path: Path) -> None:
    async with open_devnet(options(tmp_path, block_time_s=1.0)) as devnet:
        first = int(await devnet.rpc.read("eth_blockNumber"), 16)

        async def is_later() -> bool:
            return int(await devnet.rpc.read("eth_blockNumber"), 16) > first

        await wait_until(is_later)


async def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    one = make_wallet().address
    async with open_devnet(options(tmp_path, block_time_s=None)) as devnet:
        await devnet.fund([one])
        before, money = devnet.manifest.contracts, await money_of(devnet, one)
    async with open_devnet(options(tmp_path, block_time_s=None)) as devnet:
        assert devnet.manifest.contracts == before
        assert await money_of(devnet, one) == money
        await devnet.fund([make_wallet().address])


async def test_it_ends_its_own_anvil(tmp_path: Path) -> None:
    async with open_devnet(options(tmp_path, block_time_s=None)) as devnet:
        assert psutil.Process(devnet.pid).name().startswith("anvil")
    assert not psutil.pid_exists(devnet.pid)
    assert not (tmp_path / "anvil.pid").exists()


async def test_a_killed_anvil_is_reported_and_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    one, state = make_wallet().address, tmp_path / "chain.json"
    with pytest.raises(ExceptionGroup) as caught:
        async with open_devnet(options(tmp_path, block_time_s=None)) as devnet:
            await devnet.fund([one])
            head = int(await devnet.rpc.read("eth_blockNumber"), 16)

            async def is_saved() -> bool:
                return int(json.loads(state.read_text())["best_block_number"]) >= head

            await wait_until(is_saved)
            money = await money_of(devnet, one)
            os.kill(devnet.pid, signal.SIGKILL)
            with trio.fail_after(20):
                await trio.sleep_forever()
    assert caught.value.subgroup(lambda error: isinstance(error, Permanent) and "anvil ended" in str(error))
    async with open_devnet(options(tmp_path, block_time_s=None)) as devnet:
        assert await money_of(devnet, one) == money


def test_anvil_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    async def run_and_die() -> None:
        async with open_devnet(options(tmp_path, block_time_s=None)):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            trio.run(run_and_die)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert is_ended(int((tmp_path / "anvil.pid").read_text()))


def test_an_anvil_left_over_in_the_folder_is_ended(tmp_path: Path) -> None:
    chain = start_anvil("--cache-path", str(tmp_path))
    (tmp_path / "anvil.pid").write_text(str(chain.process.pid))
    anvil.end_left_over(tmp_path)
    assert is_ended(chain.process.pid)
    chain.end()


async def test_a_second_devnet_in_the_folder_is_refused_and_the_first_lives(tmp_path: Path) -> None:
    async with open_devnet(options(tmp_path, block_time_s=None)) as devnet:
        with pytest.raises(ExceptionGroup) as caught:
            async with open_devnet(options(tmp_path, block_time_s=None)):
                pass
        assert "a devnet runs here already" in repr(caught.value.subgroup(UserError))
        assert await devnet.rpc.read("eth_chainId") == "0x7a69"


def is_ended(pid: int) -> bool:
    """True when the process has ended, or does so within the deadline."""
    try:
        psutil.Process(pid).wait(timeout=20)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_another_process_of_that_pid_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "anvil.pid").write_text(str(os.getpid()))
    anvil.end_left_over(tmp_path)
    (tmp_path / "anvil.pid").write_text("nonsense")
    anvil.end_left_over(tmp_path)


@pytest.mark.parametrize(("beside", "hint"), [("checkout", "make chain-node"), ("site-packages", "getfoundry")])
def test_without_anvil_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, beside: str, hint: str
) -> None:
    (tmp_path / "checkout").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(anvil.VARIABLE, raising=False)
    monkeypatch.setattr(anvil, "_CONTRACTS", tmp_path / beside)
    with pytest.raises(UserError, match=hint) as caught:
        anvil.find_anvil()
    assert caught.value.code == ExitCode.NOT_FOUND


def test_an_anvil_that_is_named_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = tmp_path / "my-anvil"
    monkeypatch.setenv(anvil.VARIABLE, str(named))
    with pytest.raises(UserError, match=anvil.VARIABLE):
        anvil.find_anvil()
    named.touch(0o755)
    assert anvil.find_anvil() == named


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with listeners[0]:
        with pytest.raises(ExceptionGroup) as caught:
            async with open_devnet(options(tmp_path, port=port)):
                pass
    found = caught.value.subgroup(Permanent)
    assert found is not None
    assert "anvil did not start" in repr(found)
    error = real_error_of(found)
    assert isinstance(error, Permanent) and "--port 0" in error.hint
