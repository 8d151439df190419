"""Keystore: private keys in encrypted version 3 files, as geth and foundry write them, one key per file."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metering.units import Address
from xnode.durable import write_new_file
from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given, read_given_text
from xnode.home import make_private
from xnode.wallet.signer import WalletKey

if TYPE_CHECKING:
    import trio

DEFAULT_FOLDER = Path.home() / ".xnode" / "keystore"

MAX_FILE_BYTES = 64 << 10
"""A version 3 file has about 500 bytes; anything far larger is not one."""

MAX_PASSWORD_BYTES = 4096
"""What is longer is another file than the one that was meant."""

MAX_SCRYPT_BYTES = 1 << 30
"""scrypt takes 128 x n x r bytes: 256 MB with geth's standard parameters; a file asking for far more is an attack."""

MAX_PBKDF2_ROUNDS = 10_000_000
"""geth's own is 262144; far more would keep a thread busy for hours."""

MAX_FILES = 1000
"""Listing reads every file; a folder with more is not a keystore."""


@lru_cache(maxsize=1)
def _scrypt() -> trio.CapacityLimiter:
    """scrypt with geth's standard parameters takes 256 MB and a second: never two at once."""
    import trio  # a quarter of a second to import, which listing keys need not pay

    return trio.CapacityLimiter(1)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"(0x)?[0-9a-fA-F]{40}")


PERSON_ROUNDS = 1 << 18
"""scrypt's n for a password that a person chose, as geth's: 0.7 s and 304 MB for each guess."""

MACHINE_ROUNDS = 1 << 12
"""scrypt's n for a random password of 256 bits: stretching adds nothing, and a daemon should start at once."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One keystore file: its name for people, and its address or None: foundry's files do not state it."""

    name: str
    path: Path
    address: Address | None


class Keystore:
    """A folder of keystore files, or one such file. default: the name or address meant when none is given."""

    def __init__(self, where: Path = DEFAULT_FOLDER, default: str = "") -> None:
        self.where, self._default = where, default

    def __repr__(self) -> str:
        return f"Keystore({str(self.where)!r})"

    def list(self) -> tuple[KeyFile, ...]:
        """Every key here, by name."""
        if self.where.is_file():
            return (_read_key_file(self.where),)
        if not self.where.is_dir():
            return ()
        paths = sorted(path for path in self.where.iterdir() if path.is_file() and not path.name.startswith("."))
        if len(paths) > MAX_FILES:
            raise UserError(f"more than {MAX_FILES} files", where=str(self.where), hint="name a keystore folder")
        files = []
        for path in paths:
            # Other files in the folder are not ours to complain about; load() of one by name does complain.
            with contextlib.suppress(UserError):
                files.append(_read_key_file(path))
        return tuple(sorted(files, key=lambda file: file.name))

    def find(self, name_or_address: str = "") -> KeyFile:
        """The one key of that name or address; without either, the default or the only one. UserError else."""
        files = self.list()
        name_or_address = name_or_address or self._default
        if not name_or_address:
            if len(files) == 1:
                return files[0]
            if not files:
                raise UserError(
                    f"no wallets in {self.where}", hint="make one: xnode wallet new", code=ExitCode.NOT_FOUND
                )
            raise UserError(
                f"{len(files)} keys to choose from",
                where=str(self.where),
                hint="name one of them, or set ETH_FROM; `xnode wallet ls` lists them",
                code=ExitCode.NOT_FOUND,
            )
        found = [file for file in files if _is_meant(file, name_or_address)]
        if not found:
            raise UserError(
                f"no key {name_or_address!r}",
                where=str(self.where),
                hint="see xnode wallet ls",
                code=ExitCode.NOT_FOUND,
            )
        if len({file.address for file in found}) > 1:
            raise UserError(
                f"{name_or_address!r} means {len(found)} keys", where=str(self.where), hint="give the file name"
            )
        return found[0]

    async def load(self, name_or_address: str, password: str) -> WalletKey:
        """The key, decrypted. UserError when the password is wrong or the file is not a keystore."""
        file = self.find(name_or_address)
        return await _decrypt(_read_json(file.path), password, str(file.path))

    async def make_new(self, name: str, password: str, rounds: int = PERSON_ROUNDS) -> KeyFile:
        """A fresh random key, saved."""
        return await self.add(WalletKey(_make_secret()), name, password, rounds)

    async def add(self, key: WalletKey, name: str, password: str, rounds: int = PERSON_ROUNDS) -> KeyFile:
        """Save a key under a plain name as foundry does, or with name "" under geth's UTC--time--address.

        rounds: scrypt's n: MACHINE_ROUNDS only for a password that cannot be guessed anyway.
        """
        if not password:
            raise UserError(
                "the password is empty", where="password", hint="choose one: without it the file cannot be opened"
            )
        path = self._make_path(name, key.address)
        import trio

        content = await trio.to_thread.run_sync(_encrypt, key, password, rounds, limiter=_scrypt())
        _write_new(path, json.dumps(content).encode())
        return KeyFile(path.name, path, key.address)

    async def import_hex(self, text: str, name: str, password: str) -> KeyFile:
        """Save a private key given as 64 hex digits, with or without 0x."""
        try:
            key = WalletKey(bytes.fromhex(text.strip().removeprefix("0x")))
        except ValueError:
            # Never quote what was given: it may be a key with one digit too many.
            raise UserError("not a private key", where="private key", hint="give 64 hex digits") from None
        return await self.add(key, name, password)

    async def import_file(self, source: Path, name: str, password: str) -> KeyFile:
        """Save a copy of another program's keystore file, under the same password, which must open it."""
        content = _read_json(source)
        key = await _decrypt(content, password, str(source))
        path = self._make_path(name, key.address)
        _write_new(path, json.dumps(content).encode())
        return KeyFile(path.name, path, key.address)

    def require_free(self, name: str) -> None:
        """Raise UserError for a name that no new key can have; "" is one of its own."""
        if self.where.is_file():
            raise UserError("this is one keystore file, not a folder", where=str(self.where), hint="name a folder")
        if name and not _NAME.fullmatch(name):
            raise UserError(f"{name!r} is not a file name", where="name", hint="use letters, digits, '.', '_' and '-'")
        if name and (_ADDRESS.fullmatch(name) or name.startswith("0x")):
            raise UserError(f"{name!r} reads as an address", where="name", hint="choose another name")
        if name and (self.where / name).exists():
            raise _make_taken(self.where / name)

    def _make_path(self, name: str, address: Address) -> Path:
        self.require_free(name)
        _make_folder(self.where)
        path = self.where / (name or _make_geth_name(address))
        if path.exists():
            raise _make_taken(path)
        return path


# ----------------------------------------------------------------------------------------------------------- settings


def make_keystore(environ: Mapping[str, str], where: Path | None = None) -> Keystore:
    """The keystore a person means: the one given, else ETH_KEYSTORE (a folder or a file, as for cast), else our own.

    ETH_FROM names the key in it when nothing else does.
    """
    named = environ.get("ETH_KEYSTORE", "")
    folder = where or (Path(named) if named else DEFAULT_FOLDER)
    return Keystore(folder.expanduser(), environ.get("ETH_FROM", ""))


def read_password(environ: Mapping[str, str], path: Path | None = None) -> str | None:
    """The password from a file: the one given, else ETH_PASSWORD's. None when neither is named: ask the person."""
    if path is None and not environ.get("ETH_PASSWORD"):
        return None
    path = (path or Path(environ["ETH_PASSWORD"])).expanduser()
    try:
        return read_given_text(path, MAX_PASSWORD_BYTES).rstrip("\r\n")
    except OSError as error:
        raise UserError(
            f"cannot read the password: {_reason(error)}", where=str(path), hint="check the file"
        ) from error


# --------------------------------------------------------------------------------------------------------------- files


def _is_meant(file: KeyFile, text: str) -> bool:
    if file.name == text:
        return True
    if _ADDRESS.fullmatch(text) is None:
        return False
    return file.address is not None and file.address.hex() == text.removeprefix("0x").lower()


def _read_key_file(path: Path) -> KeyFile:
    content = _read_json(path)
    stated = content.get("address")
    address = None
    if isinstance(stated, str) and _ADDRESS.fullmatch(stated):
        address = Address(bytes.fromhex(stated.removeprefix("0x")))
    return KeyFile(path.name, path, address)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_given(path, MAX_FILE_BYTES))
    except OSError as error:
        raise UserError(
            f"cannot read the keystore: {_reason(error)}", where=str(path), hint="check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _not_a_keystore(path) from error
    if not isinstance(content, dict) or content.get("version") != 3:
        raise _not_a_keystore(path)
    return content


def _not_a_keystore(path: Path) -> UserError:
    return UserError("not a version 3 keystore", where=str(path), hint="give a file that geth, foundry or xnode wrote")


def _write_new(path: Path, content: bytes) -> None:
    """The file complete on disk under its name or not at all, never over another, readable by us alone."""
    try:
        write_new_file(path, content, 0o600)
    except FileExistsError as error:
        raise _make_taken(path) from error
    except OSError as error:
        raise UserError(f"cannot save the key: {_reason(error)}", where=str(path), hint="check the folder") from error


def _make_folder(folder: Path) -> None:
    try:
        make_private(folder)
    except OSError as error:
        raise UserError(
            f"cannot make the folder: {_reason(error)}", where=str(folder), hint="choose another"
        ) from error


def _make_geth_name(address: Address) -> str:
    now_ns = time.time_ns()
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(now_ns // 1_000_000_000))
    return f"UTC--{stamp}.{now_ns % 1_000_000_000:09d}Z--{address.hex()}"


def _reason(error: Exception) -> str:
    return error.strerror or "unknown" if isinstance(error, OSError) else "it is not text"


# -------------------------------------------------------------------------------------------------------------- secrets


def _make_secret() -> bytes:
    while True:
        secret = secrets.token_bytes(32)
        with contextlib.suppress(ValueError):
            WalletKey(secret)
            return secret


def _encrypt(key: WalletKey, password: str, rounds: int) -> dict[str, Any]:
    from xnode.wallet.cipher import seal_secret  # brings cryptography, which listing keys need not pay

    content = seal_secret(key.expose_secret(), password.encode(), rounds)
    return {**content, "address": key.address.hex()}  # as geth spells it


async def _decrypt(content: dict[str, Any], password: str, where: str) -> WalletKey:
    import trio

    secret = await trio.to_thread.run_sync(_decrypt_secret, content, password, where, limiter=_scrypt())
    key = WalletKey(secret)
    stated = content.get("address")
    if isinstance(stated, str) and stated.removeprefix("0x").lower() != key.address.hex():
        raise UserError("the key inside is not that of the address it states", where=where, hint="use a backup")
    return key


def _decrypt_secret(content: dict[str, Any], password: str, where: str) -> bytes:
    from xnode.wallet.cipher import WrongPasswordError, memory_of, open_secret

    damaged = UserError("the keystore is damaged or of an unknown kind", where=where, hint="use a backup")
    try:
        content = _lower_names(content)
        params = content["crypto"]["kdfparams"]
        if memory_of(params) > MAX_SCRYPT_BYTES:
            raise damaged
        if int(params.get("c", 1)) > MAX_PBKDF2_ROUNDS:
            raise damaged
        return open_secret(content, password.encode())
    except WrongPasswordError:
        raise UserError("wrong password", where=where, hint="try again", code=ExitCode.REFUSED) from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise damaged from error


def _lower_names(value: Any) -> Any:
    """Some wallets write "Crypto" for "crypto"."""
    if isinstance(value, dict):
        return {str(name).lower(): _lower_names(each) for name, each in value.items()}
    return value


def _make_taken(path: Path) -> UserError:
    text = "there is a key of that name already"
    return UserError(text, where=str(path), hint="choose another name", code=ExitCode.CONFLICT)
