"""Cipher: the secret inside a version 3 keystore file (Web3 Secret Storage), sealed and opened with a password.

By the standard library's key derivations and `cryptography`'s AES: the usual package for these files also brings the
BLS curves of version 4, whose tables take a third of a second to import, at every start of a daemon.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from metering.eip712 import keccak

KEY_BYTES = 32
"""Derived from the password: half of it encrypts, half authenticates."""

SCRYPT_R, SCRYPT_P = 8, 1
"""geth's own."""


class WrongPasswordError(ValueError):
    """The password does not open the file."""


def seal_secret(secret: bytes, password: bytes, rounds: int) -> dict[str, Any]:
    """A file's content, by scrypt with n = rounds."""
    params: dict[str, Any] = {"dklen": KEY_BYTES, "n": rounds, "r": SCRYPT_R, "p": SCRYPT_P}
    params["salt"] = secrets.token_bytes(32).hex()
    derived, iv = _derive("scrypt", params, password), secrets.token_bytes(16)
    ciphertext = _run_aes(derived, iv, secret)
    crypto = {
        "cipher": "aes-128-ctr", "cipherparams": {"iv": iv.hex()}, "ciphertext": ciphertext.hex(),
        "kdf": "scrypt", "kdfparams": params, "mac": _make_mac(derived, ciphertext).hex(),
    }  # fmt: skip
    return {"crypto": crypto, "id": str(uuid.uuid4()), "version": 3}


def open_secret(content: dict[str, Any], password: bytes) -> bytes:
    """What is sealed. Raises WrongPasswordError; ValueError, TypeError or KeyError when the file is damaged."""
    crypto = content["crypto"]
    if crypto["cipher"] != "aes-128-ctr":
        raise ValueError("an unknown cipher")
    ciphertext = _read_hex(crypto["ciphertext"])
    derived = _derive(crypto["kdf"], crypto["kdfparams"], password)
    if not hmac.compare_digest(_make_mac(derived, ciphertext), _read_hex(crypto["mac"])):
        raise WrongPasswordError
    return _run_aes(derived, _read_hex(crypto["cipherparams"]["iv"]), ciphertext)


def memory_of(params: dict[str, Any]) -> int:
    """Bytes that deriving by scrypt takes."""
    return 128 * int(params.get("r", 1)) * (int(params.get("n", 1)) + int(params.get("p", 1)))


def _derive(kdf: str, params: dict[str, Any], password: bytes) -> bytes:
    salt, size = _read_hex(params["salt"]), int(params["dklen"])
    if size < KEY_BYTES:
        raise ValueError("the derived key is too short")
    if kdf == "scrypt":
        return _scrypt(password, salt, params, size)
    if kdf == "pbkdf2" and params["prf"] == "hmac-sha256":
        return hashlib.pbkdf2_hmac("sha256", password, salt, int(params["c"]), size)
    raise ValueError("an unknown key derivation")


def _scrypt(password: bytes, salt: bytes, params: dict[str, Any], size: int) -> bytes:
    n, r, p = int(params["n"]), int(params["r"]), int(params["p"])
    if n < 1 << 16 * r:
        # OpenSSL counts its own few blocks too.
        most = memory_of(params) + 256 * r + (1 << 20)
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=most, dklen=size)
    # More than RFC 7914 allows, and OpenSSL does; the format's own example has such parameters. Slower to import.
    from Crypto.Protocol.KDF import scrypt

    derived = scrypt(password, salt, size, n, r, p)  # type: ignore[arg-type]
    assert isinstance(derived, bytes)
    return derived


def _make_mac(derived: bytes, ciphertext: bytes) -> bytes:
    return keccak(derived[16:32] + ciphertext)


def _run_aes(derived: bytes, iv: bytes, data: bytes) -> bytes:
    # Some old files leave out the leading zeros of the counter.
    context = Cipher(algorithms.AES(derived[:16]), modes.CTR(iv.rjust(16, b"\0"))).encryptor()
    return context.update(data) + context.finalize()


def _read_hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
