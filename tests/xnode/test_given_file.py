"""What a person names may be anything: it is read within a size and a time, or the error names it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from xnode import given_file
from xnode.given_file import read_given, read_given_text


def test_a_file_up_to_the_limit_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert read_given(path, 100_000) == b"x" * 100_000
    with pytest.raises(OSError, match="longer than 99,999 bytes") as caught:
        read_given(path, 99_999)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("name", ["/dev/zero", "/proc/self/mem", "/", "nowhere", "a\0b", "x" * 5000])
def test_what_cannot_be_read_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(OSError) as caught:
        read_given(Path(name), 1000)
    assert caught.value.filename == name and caught.value.strerror


def test_a_pipe_is_read_to_its_end_and_one_that_stays_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("secret\n"))
    writer.start()
    assert read_given_text(pipe, 1000) == "secret\n"
    writer.join()
    monkeypatch.setattr(given_file, "WAIT_S", 0.01)
    with pytest.raises(OSError, match="nothing came out of it") as caught:
        read_given(pipe, 1000)
    assert caught.value.errno == errno.ETIMEDOUT


def test_what_is_not_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(OSError, match="not text in UTF-8"):
        read_given_text(tmp_path / "file", 10)
