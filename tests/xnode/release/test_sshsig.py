"""A signature counts when openssh made it, over these bytes, for us, by a key that may sign; else it is said why not."""

from __future__ import annotations

import base64
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from xnode.release.sshsig import BEGIN, END, BadSignature, key_that_signed, read_signers

MESSAGE = b"ab" * 32 + b"  cli/main.py\n"
needs_openssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="openssh-client is not installed")


class Key:
    """An Ed25519 key, and openssh's own program to sign with it."""

    def __init__(self, folder: Path) -> None:
        key = Ed25519PrivateKey.generate()
        self.folder, self.file = folder, folder / "key"
        self.file.touch(0o600)
        self.file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        self.public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        self.raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes, namespace: str = "xnode", *options: str) -> str:
        path = self.folder / "message"
        path.write_bytes(message)
        path.with_suffix(".sig").unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.file), "-n", namespace, *options, str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return Path(f"{path}.sig").read_text()


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path)


@needs_openssh
@pytest.mark.parametrize("options", [(), ("-O", "hashalg=sha256")])
def test_what_openssh_signed_is_taken(key: Key, options: tuple[str, ...]) -> None:
    assert key_that_signed(MESSAGE, key.sign(MESSAGE, "xnode", *options)) == key.raw


@needs_openssh
def test_other_bytes_are_not_signed(key: Key) -> None:
    with pytest.raises(BadSignature, match="not over these bytes"):
        key_that_signed(MESSAGE + b"x", key.sign(MESSAGE))


@needs_openssh
def test_a_signature_for_something_else_is_none(key: Key) -> None:
    with pytest.raises(BadSignature, match='made for "file", not for "xnode"'):
        key_that_signed(MESSAGE, key.sign(MESSAGE, "file"))


@needs_openssh
def test_any_changed_bit_is_noticed(key: Key) -> None:
    raw = base64.b64decode("".join(key.sign(MESSAGE).strip().removeprefix(BEGIN).removesuffix(END).split()))
    for bit in range(0, len(raw) * 8, 7):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            key_that_signed(MESSAGE, f"{BEGIN}\n{base64.b64encode(changed).decode()}\n{END}\n")


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_be_refused(raw: bytes) -> None:
    for blob in (raw, b"SSHSIG" + struct.pack(">I", 1) + raw):
        with pytest.raises(BadSignature):
            key_that_signed(MESSAGE, f"{BEGIN}\n{base64.b64encode(blob).decode()}\n{END}\n")


@pytest.mark.parametrize("text", ["", "nonsense", f"{BEGIN}\n!!!\n{END}", f"{BEGIN}\n{'A' * 5000}\n{END}"])
def test_what_is_not_armored_is_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        key_that_signed(MESSAGE, text)


def test_signers_are_read_as_openssh_writes_them(key: Key) -> None:
    lines = ["# who", "", f"one {key.public}", f'two@x namespaces="xnode" {key.public} a comment']
    assert [(one.name, one.key) for one in read_signers("\n".join(lines))] == [("one", key.raw), ("two@x", key.raw)]


@needs_openssh
def test_a_fingerprint_is_the_one_that_openssh_shows(key: Key) -> None:
    (signer,) = read_signers(f"one {key.public}")
    (key.folder / "key.pub").write_text(key.public)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(key.folder / "key.pub")], capture_output=True, text=True, check=True
    )
    assert signer.fingerprint in shown.stdout


@pytest.mark.parametrize(
    "line", ["one", "one ssh-ed25519", "one ssh-ed25519 AAAA", "one ssh-rsa AAAA", "ssh-ed25519 AAAA one"]
)
def test_a_line_that_names_no_signer_is_told_with_its_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 is not"):
        read_signers(f"# first\n{line}\n")
