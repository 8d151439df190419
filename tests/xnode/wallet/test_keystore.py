"""Keystore files, written by us, by geth, by the specification's authors and by foundry's cast."""

from __future__ import annotations

import json
import os
import platform
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from metering.units import Address
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex
from xnode.wallet.keystore import DEFAULT_FOLDER, Keystore, make_keystore, read_password
from xnode.wallet.signer import WalletKey

RECORDED = Path(__file__).parent / "keystores"
"""geth's own test key (go-ethereum accounts/keystore/testdata) and the vectors of the Web3 Secret Storage Definition."""

SPEC_SECRET = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
GETH_ADDRESS = "7ef5a6135f1fd6a02593eedc869c6d41d934aef8"
KEY = WalletKey(b"\x11" * 32)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one key of ours, KEY, under "node" and the password "correct horse"."""
    folder = tmp_path_factory.mktemp("saved") / "keystore"
    trio.run(Keystore(folder).add, KEY, "node", "correct horse")
    return folder


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# ------------------------------------------------------------------------------------------------------ others' files


@pytest.mark.parametrize("name", ["spec-scrypt.json", "spec-pbkdf2.json"])
async def test_the_specifications_files_open(name: str) -> None:
    key = await Keystore(RECORDED).load(name, "testpassword")
    assert key.expose_secret().hex() == SPEC_SECRET


@pytest.mark.parametrize("meant", ["0x" + GETH_ADDRESS, GETH_ADDRESS.upper()])
async def test_geths_file_opens_by_address(meant: str) -> None:
    key = await Keystore(RECORDED).load(meant, "foobar")
    assert key.address.hex() == GETH_ADDRESS


# ----------------------------------------------------------------------------------------------------------- our files


async def test_what_is_saved_opens_again(saved: Path) -> None:
    key = await Keystore(saved).load("node", "correct horse")
    assert key.expose_secret() == KEY.expose_secret()


async def test_wrong_password_is_one_line_and_its_own_exit_code(saved: Path) -> None:
    with pytest.raises(UserError) as caught:
        await Keystore(saved).load("node", "battery staple")
    assert one_line(caught) == f"{saved / 'node'}: wrong password; try again"
    assert caught.value.code == ExitCode.REFUSED


def test_file_is_for_us_alone_and_whole(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert stat.S_IMODE((saved / "node").stat().st_mode) == 0o600
    assert [path.name for path in saved.iterdir()] == ["node"], "no draft is left behind"


def test_file_has_geths_standard_strength_and_spelling(saved: Path) -> None:
    content = json.loads((saved / "node").read_text())
    assert content["version"] == 3
    assert content["address"] == KEY.address.hex()
    params = content["crypto"]["kdfparams"]
    assert (params["n"], params["r"], params["p"]) == (262144, 8, 1)


async def test_a_key_is_never_written_over(saved: Path) -> None:
    before = (saved / "node").read_bytes()
    with pytest.raises(UserError, match="a key of that name already"):
        await Keystore(saved).add(WalletKey(b"\x22" * 32), "node", "x")
    assert (saved / "node").read_bytes() == before


async def test_a_key_that_appears_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path)

    async def interfere() -> None:
        # add() has looked for the name and is deriving for a second: another process takes the name now.
        (tmp_path / "node").write_text("mine")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interfere)
        with pytest.raises(UserError, match="a key of that name already"):
            await keystore.add(KEY, "node", "x")
    assert (tmp_path / "node").read_text() == "mine"


async def test_without_a_name_the_file_is_named_as_geth_does(tmp_path: Path) -> None:
    entry = await Keystore(tmp_path).make_new("", "pw")
    assert entry.address is not None
    stamp, address = entry.name.removeprefix("UTC--").split("--")
    assert address == entry.address.hex()
    assert len(stamp) == len("2016-03-22T12-57-55.920751759Z")
    assert Keystore(tmp_path).find(f"0x{address}") == entry


async def test_import_takes_hex_and_never_quotes_it(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path)
    entry = await keystore.import_hex(" 0x" + "11" * 32 + "\n", "hex", "pw")
    assert entry.address == KEY.address
    for wrong in ("11" * 33, "zz" * 32, "", "00" * 32):
        with pytest.raises(UserError) as caught:
            await keystore.import_hex(wrong, "wrong", "pw")
        assert not wrong or wrong not in one_line(caught)
    assert [entry.name for entry in keystore.list()] == ["hex"]


async def test_import_takes_another_programs_file_as_it_is(tmp_path: Path) -> None:
    source = next(RECORDED.glob("UTC--*"))
    keystore = Keystore(tmp_path)
    with pytest.raises(UserError, match="wrong password"):
        await keystore.import_file(source, "geth", "nope")
    entry = await keystore.import_file(source, "geth", "foobar")
    assert entry.address is not None
    assert entry.address.hex() == GETH_ADDRESS
    assert json.loads(entry.path.read_text()) == json.loads(source.read_text())


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "a b", "x" * 65, "ab" * 20, "0x" + "ab" * 20])
async def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        await Keystore(tmp_path).add(KEY, name, "pw")
    assert Keystore(tmp_path).list() == ()


async def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        await Keystore(tmp_path).add(KEY, "node", "")


# ------------------------------------------------------------------------------------------------------------- finding


def write_entry(folder: Path, name: str, address: Address | None) -> None:
    stated = {} if address is None else {"address": address.hex()}
    (folder / name).write_text(json.dumps({"version": 3, "crypto": {}, **stated}))


def test_the_only_key_needs_no_name(tmp_path: Path) -> None:
    write_entry(tmp_path, "a", KEY.address)
    assert Keystore(tmp_path).find().name == "a"
    write_entry(tmp_path, "b", KEY.address)
    with pytest.raises(UserError, match="2 keys to choose from"):
        Keystore(tmp_path).find()


def test_no_keys_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="xnode wallet new") as caught:
        Keystore(tmp_path / "none").find()
    assert caught.value.sentence == f"no wallets in {tmp_path / 'none'}"
    assert caught.value.code == ExitCode.NOT_FOUND


def test_what_is_no_keystore_is_not_listed(tmp_path: Path) -> None:
    write_entry(tmp_path, "good", None)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "old.json").write_text('{"version": 1}')
    assert [entry.name for entry in Keystore(tmp_path).list()] == ["good"]


@pytest.mark.parametrize(
    "content",
    [
        '{"version": 3}',
        '{"version": 3, "crypto": 7}',
        '{"version": 3, "crypto": {"kdf": "rot13", "kdfparams": {}, "cipher": "x"}}',
        '{"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": 1073741824, "r": 8, "p": 1}}}',
        '{"version": 3, "crypto": {"kdf": "pbkdf2", "kdfparams": {"c": 99999999999}}}',
        "not json",
    ],
)
async def test_a_damaged_or_hostile_file_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        await Keystore(path).load("", "pw")
    assert str(path) in one_line(caught)


async def test_a_file_that_states_anothers_address_is_refused(tmp_path: Path) -> None:
    content = json.loads(next(RECORDED.glob("UTC--*")).read_text())
    (tmp_path / "swapped").write_text(json.dumps({**content, "address": "00" * 20}))
    with pytest.raises(UserError, match="not that of the address"):
        await Keystore(tmp_path).load("swapped", "foobar")


# --------------------------------------------------------------------------------------------------------- environment


def test_eth_keystore_names_the_folder_or_file(tmp_path: Path) -> None:
    assert make_keystore({}).where == DEFAULT_FOLDER
    assert make_keystore({"ETH_KEYSTORE": str(tmp_path)}).where == tmp_path
    assert make_keystore({"ETH_KEYSTORE": "/elsewhere"}, tmp_path).where == tmp_path
    write_entry(tmp_path, "one", KEY.address)
    assert make_keystore({"ETH_KEYSTORE": str(tmp_path / "one")}).find().address == KEY.address


def test_eth_from_names_the_key(tmp_path: Path) -> None:
    write_entry(tmp_path, "a", KEY.address)
    write_entry(tmp_path, "b", Address(b"\x01" * 20))
    environ = {"ETH_KEYSTORE": str(tmp_path), "ETH_FROM": to_hex(KEY.address)}
    assert make_keystore(environ).find().name == "a"
    assert make_keystore(environ).find("b").name == "b"


def test_eth_password_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("correct horse \r\n")
    assert read_password({}) is None
    assert read_password({"ETH_PASSWORD": str(path)}) == "correct horse "
    with pytest.raises(UserError, match="No such file"):
        read_password({"ETH_PASSWORD": str(tmp_path / "none")})


# ---------------------------------------------------------------------------------------------------------------- cast


def find_cast() -> Path:
    cpu = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    modules = Path(__file__).parents[3] / "contracts" / "node_modules" / "@foundry-rs"
    return modules / f"cast-{platform.system().lower()}-{cpu}" / "bin" / "cast"


@pytest.fixture
def cast(tmp_path: Path) -> Callable[..., str]:
    """foundry's cast, with a home of its own."""

    def run(*arguments: str) -> str:
        environ = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run([find_cast(), *arguments], capture_output=True, text=True, timeout=60, env=environ)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.chain
async def test_we_read_what_cast_wrote(cast: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "cast"
    secret = "0x" + "11" * 32
    cast("wallet", "import", "mine", "--private-key", secret, "--keystore-dir", str(folder), "--unsafe-password", "pw")
    key = await Keystore(folder).load("mine", "pw")
    assert key.address == KEY.address


@pytest.mark.chain
def test_cast_reads_what_we_wrote(cast: Callable[..., str], saved: Path) -> None:
    found = cast("wallet", "address", "--keystore", str(saved / "node"), "--password", "correct horse")
    assert found.lower() == to_hex(KEY.address)
