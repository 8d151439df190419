"""What is published is what its checksums say, and openssh's own program agrees with their signature."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from packages.release import MANIFEST, SIGNATURE, SUMS, read_manifest, sign, write_sums
from tests.xnode.release.test_sshsig import Key, needs_openssh
from xnode.release.sshsig import key_that_signed


def test_checksums_are_those_that_sha256sum_takes(tmp_path: Path) -> None:
    (tmp_path / "b.whl").write_bytes(b"wheel")
    (tmp_path / "a.deb").write_bytes(b"deb")
    assert write_sums(tmp_path).read_text() == write_sums(tmp_path).read_text()
    done = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["a.deb: OK", "b.whl: OK"]


def test_a_signature_of_other_checksums_does_not_outlive_them(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / SIGNATURE).write_text("of the release before")
    assert SIGNATURE not in write_sums(tmp_path).read_text() and not (tmp_path / SIGNATURE).exists()


@needs_openssh
def test_openssh_takes_what_is_signed_and_so_do_we(tmp_path: Path) -> None:
    key = Key(tmp_path)
    message = b"0" * 64 + b"  a.deb\n"
    signature = sign(message, key.file)
    assert key_that_signed(message, signature) == key.raw
    (tmp_path / "signers").write_text(f'releases namespaces="xnode" {key.public}\n')
    (tmp_path / "sig").write_text(signature)
    verify = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "releases", "-n", "xnode", "-s", "sig"]
    assert subprocess.run(verify, input=message, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert subprocess.run(verify, input=message + b"x", cwd=tmp_path, capture_output=True, check=False).returncode != 0


@needs_openssh
def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    with pytest.raises(SystemExit, match="did not sign"):
        sign(b"x", tmp_path / "key")


def test_without_openssh_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match="apt install openssh-client"):
        sign(b"x", tmp_path / "key")


def test_the_manifest_that_is_signed_is_the_one_in_the_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr(MANIFEST, b"lines")
    assert read_manifest(tmp_path / "x.whl") == b"lines"
