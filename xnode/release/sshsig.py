"""SSH signature: checks what `ssh-keygen -Y sign` wrote, for Ed25519 keys (openssh's PROTOCOL.sshsig).

Here, so that a node can check its own files where no openssh is installed; `ssh-keygen -Y verify` says the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAGIC = b"SSHSIG"
KEY_TYPE = b"ssh-ed25519"
NAMESPACE = "xnode"
"""What our signatures are for, so that one made for something else is none."""

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
MAX_CHARS = 4096
"""Of an armored signature; ours have 300."""

_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class BadSignature(ValueError):
    """Not a signature by the key that it names over this message. str() says what is wrong."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signatures count. key: 32 bytes, Ed25519."""

    name: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        digest = hashlib.sha256(_string(KEY_TYPE) + _string(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def read_signers(text: str) -> tuple[Signer, ...]:
    """The signers of an allowed-signers file of openssh. Raises ValueError for a line that is none, with its number."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            at = words.index(KEY_TYPE.decode())
            fields = _read_strings(base64.b64decode(words[at + 1], validate=True))
        except (ValueError, IndexError):
            raise ValueError(f"line {number} is not `NAME ssh-ed25519 KEY`") from None
        if at == 0 or len(fields) != 2 or fields[0] != KEY_TYPE or len(fields[1]) != 32:
            raise ValueError(f"line {number} is not `NAME ssh-ed25519 KEY`")
        found.append(Signer(words[0], fields[1]))
    return tuple(found)


def key_that_signed(message: bytes, armored: str) -> bytes:
    """The Ed25519 key, 32 bytes, whose signature over the message this is. Raises BadSignature."""
    blob = _unarmor(armored)
    if blob[:10] != MAGIC + struct.pack(">I", 1):
        raise BadSignature("not an SSH signature of version 1")
    try:
        public, namespace, reserved, algorithm, signature = _read_strings(blob[10:])
        (key_type, key), (signature_type, raw) = _read_strings(public), _read_strings(signature)
    except ValueError as error:
        raise BadSignature("cut off, or with something behind it") from error
    if (key_type, signature_type) != (KEY_TYPE, KEY_TYPE) or len(key) != 32:
        raise BadSignature("not by an Ed25519 key")
    if namespace != NAMESPACE.encode():
        raise BadSignature(f'made for "{namespace.decode(errors="replace")[:40]}", not for "{NAMESPACE}"')
    if algorithm not in _HASHES:
        raise BadSignature("of a hash that is not SHA-256 or SHA-512")
    digest = _HASHES[algorithm](message).digest()
    signed = MAGIC + b"".join(_string(one) for one in (namespace, reserved, algorithm, digest))
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(raw, signed)
    except (InvalidSignature, ValueError):
        raise BadSignature("not over these bytes") from None
    return key


def _unarmor(armored: str) -> bytes:
    text = armored.strip()
    if len(text) > MAX_CHARS or not text.startswith(BEGIN) or not text.endswith(END):
        raise BadSignature(f"not between {BEGIN} and {END}")
    try:
        return base64.b64decode("".join(text.removeprefix(BEGIN).removesuffix(END).split()), validate=True)
    except binascii.Error:
        raise BadSignature("not base64") from None


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _read_strings(data: bytes) -> list[bytes]:
    found = []
    while data:
        if len(data) < 4 or len(data) < 4 + (size := struct.unpack(">I", data[:4])[0]):
            raise ValueError("cut off")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found
