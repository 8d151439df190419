"""The submitter's copy of a log: never a line twice, never more than head and tail of a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from metering.units import Hash32
from xnode import hole
from xnode.peers.job_log import JobLog

LEASE = Hash32(b"\x01" * 32)


def read_all(log: JobLog, offset: int = 0) -> bytes:
    whole = b""
    while True:
        offset, data = log.read(offset, 1_000)
        if not data:
            return whole
        whole += data


def test_a_copy_goes_on_where_its_mark_is(tmp_path: Path) -> None:
    log = JobLog(tmp_path, LEASE)
    assert log.read_offset() == 0 and read_all(log) == b""
    log.append(100, b"one\r\n", ended=False)
    with log.path.open("ab") as file:
        file.write(b"what the mark does not know")
    assert log.read_offset() == 100
    log.append(200, b"two", ended=True)
    assert (read_all(log), log.has_ended(), log.read_lost()) == (b"one\r\ntwo", True, 0)


def test_what_the_provider_did_not_keep_is_counted(tmp_path: Path) -> None:
    log = JobLog(tmp_path, LEASE)
    log.append(65_536, b"a", ended=False)
    log.append(5_000_000, b"[gap]", ended=False)
    log.append(5_000_010, b"b", ended=True)
    assert log.read_lost() == 5_000_000 - 65_536


def test_a_mark_of_an_older_version_is_read(tmp_path: Path) -> None:
    log = JobLog(tmp_path, LEASE)
    log.path.write_bytes(b"abc")
    log.path.with_suffix(".offset").write_text("70 3 ended")
    assert (log.read_offset(), log.has_ended(), log.read_lost()) == (70, True, 0)


def test_a_long_copy_keeps_head_and_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_BYTES", "TAIL_BYTES", "SLACK_BYTES"):
        monkeypatch.setattr(hole, name, 10_000)
    log = JobLog(tmp_path, LEASE)
    for number in range(1_000):
        log.append(number * 100, b"%06d " % number + b"x" * 92 + b"\n", ended=number == 999)
    whole = read_all(log)
    assert whole.startswith(b"000000 ") and whole.endswith(b"x\n") and b"\n000999 " in whole
    assert b"[xnode: %d bytes of this log were not kept" % log.read_lost() in whole
    assert log.path.stat().st_blocks * 512 < 60_000 and 20_000 < len(whole) < 40_000
    assert read_all(log, 50_000).startswith(b"\n[xnode: "), "a reader who stood in the middle is told so"
