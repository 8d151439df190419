"""A log can be taken up again at any of its offsets, and never grows memory."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.xnode.runtime.conftest import Bench
from xnode import hole
from xnode.hole import find_line
from xnode.runtime.conmon.logs import GATHER_S, MAX_PIECE_BYTES, copy_log, parse_records, read_pieces

HEAD = b"2026-01-01T00:00:00.000000000+00:00 "


def test_partial_records_are_joined_and_full_ones_end_with_a_newline() -> None:
    raw = HEAD + b"stdout P one \n" + HEAD + b"stderr P two\n" + HEAD + b"stdout F three\n" + HEAD + b"stdout F \n"
    assert parse_records(raw) == (b"one twothree\n\n", len(raw))


def test_a_carriage_return_and_other_odd_bytes_are_text() -> None:
    text = b"\rEpoch 1 of 3: loss 0.8\rEpoch 2 of 3: loss 0.7\n"
    assert parse_records(HEAD + b"stdout F " + text) == (text, len(HEAD) + 9 + len(text))
    odd = b"\x0b\x0c\x1c\x1d\x1e\x85\xe2\x80\xa8\x00 end\r\n"
    assert parse_records(HEAD + b"stdout F " + odd)[0] == odd


@given(st.lists(st.binary(max_size=40).filter(lambda text: b"\n" not in text), max_size=9))
def test_every_byte_of_every_record_comes_through(texts: list[bytes]) -> None:
    raw = b"".join(HEAD + b"stdout F " + text + b"\n" for text in texts)
    assert parse_records(raw) == (b"".join(text + b"\n" for text in texts), len(raw))


def test_unfinished_record_waits_for_its_end() -> None:
    raw = HEAD + b"stdout F one\n"
    assert parse_records(raw + HEAD + b"stdou") == (b"one\n", len(raw))


def test_record_longer_than_a_piece_is_passed_on_rather_than_gathered() -> None:
    assert parse_records(b"x" * MAX_PIECE_BYTES) == (b"x" * MAX_PIECE_BYTES, MAX_PIECE_BYTES)


def test_any_offset_is_moved_to_the_start_of_a_record(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, second = HEAD + b"stdout F one\n", HEAD + b"stdout F two\n"
    log.write_bytes(first + second)
    fd = os.open(log, os.O_RDONLY)
    try:
        starts = {find_line(fd, offset) for offset in range(-1, len(first + second) + 9)}
        assert starts == {0, len(first), len(first + second)}
        assert find_line(fd, len(first)) == len(first)
        assert find_line(fd, len(first) + 1) == len(first + second)
    finally:
        os.close(fd)


async def test_every_offset_given_out_continues_the_same_stream(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [b"%d " % number + b"x" * 5000 for number in range(60)]
    log.write_bytes(b"".join(HEAD + b"stdout F " + line + b"\n" for line in lines))

    async def read(offset: int) -> list[tuple[int, bytes]]:
        return [piece async for piece in read_pieces(log, offset, False, lambda: True, trio.sleep_forever)]

    pieces = await read(0)
    whole = b"".join(piece for _, piece in pieces)
    assert whole == b"".join(line + b"\n" for line in lines)
    assert len(pieces) > 3 and max(len(piece) for _, piece in pieces) <= MAX_PIECE_BYTES
    seen = b""
    for offset, piece in pieces:
        seen += piece
        assert seen + b"".join(rest for _, rest in await read(offset)) == whole


@pytest.mark.engine
async def test_lines_come_while_the_workload_runs_and_soon(bench: Bench) -> None:
    spec = bench.spec("for i in 1 2 3; do date +%s%N >/dev/null; cut -d' ' -f1 /proc/uptime; sleep 0.3; done")
    await bench.engine.start(spec)
    delays, offset = [], 0
    with trio.fail_after(20):
        async for after, piece in bench.engine.read_logs(spec.lease_id, 0, True):
            now = float((await trio.Path("/proc/uptime").read_text()).split()[0])
            delays.append(now - float(piece.split()[-1]))
            assert after > offset
            offset = after
    assert len(delays) == 3
    assert min(delays) <= 0.05


@pytest.mark.engine
async def test_many_lines_a_second_come_in_few_pieces_and_none_is_late(tmp_path: Path) -> None:
    log, ended = tmp_path / "log", trio.Event()
    log.touch()
    pieces: list[tuple[float, bytes]] = []

    async def read() -> None:
        async for _, piece in read_pieces(log, 0, True, ended.is_set, ended.wait):
            pieces.append((trio.current_time(), piece))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        with log.open("ab", buffering=0) as file:
            for number in range(200):
                file.write(HEAD + b"stdout F %d\n" % number)
                await trio.sleep(0.003)
        ended.set()
    assert b"".join(piece for _, piece in pieces) == b"".join(b"%d\n" % number for number in range(200))
    times = [at for at, _ in pieces]
    assert all(later - earlier > GATHER_S * 0.9 for earlier, later in pairwise(times))
    # The first one waits for nothing.
    assert len(pieces) > 2 and len(pieces[0][1]) < 20


async def test_log_is_whole_and_the_same_for_every_reader(bench: Bench) -> None:
    lines = "".join(f"line {i}\n" for i in range(1, 3001))
    spec = bench.spec("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; printf tail")
    await bench.engine.start(spec)
    with trio.fail_after(30):
        first = [piece async for piece in bench.engine.read_logs(spec.lease_id, 0, True)]
    whole = b"".join(piece for _, piece in first).decode()
    assert whole == lines + "tail" == await bench.read_log(spec.lease_id)


@pytest.mark.engine
async def test_both_streams_are_in_the_log(bench: Bench) -> None:
    _, log = await bench.run("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done")
    expected = {f"{stream} {i}" for stream in ("out", "err") for i in range(1, 6)}
    assert set(log.splitlines()) == expected


async def read_all(log: Path, offset: int = 0) -> list[tuple[int, bytes]]:
    return [piece async for piece in read_pieces(log, offset, False, lambda: True, trio.sleep_forever)]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Head, tail and slack of a few pages."""
    for name in ("HEAD_BYTES", "TAIL_BYTES", "SLACK_BYTES"):
        monkeypatch.setattr(hole, name, 40_000)


@pytest.mark.usefixtures("short")
async def test_a_long_log_keeps_head_and_tail_and_says_what_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [b"line %06d\n" % number for number in range(20_000)]
    log.write_bytes(b"".join(HEAD + b"stdout F " + line for line in lines))
    early = await read_all(log)
    hole.trim(log)
    assert log.stat().st_blocks * 512 < 120_000
    pieces = await read_all(log)
    whole = b"".join(piece for _, piece in pieces)
    assert whole.startswith(b"".join(lines[:500])) and whole.endswith(b"".join(lines[-500:]))
    found = hole.read_hole(log)
    assert found is not None and b"[xnode: %d bytes" % (found.end - found.start) in whole
    assert len([line for line in whole.splitlines(keepends=True) if line not in lines]) == 2, (
        "the note is on its own lines"
    )
    for offset, _ in early:
        rest = b"".join(piece for _, piece in await read_all(log, offset))
        if found.start < offset < found.end:
            assert rest.startswith(b"\n[xnode: %d bytes" % (found.end - offset)), "what is missing is never passed over"
        else:
            assert whole.endswith(rest)
    copy_log(log, tmp_path / "kept")
    assert await read_all(tmp_path / "kept") == pieces and (tmp_path / "kept").stat().st_blocks * 512 < 200_000
    with log.open("ab") as file:
        file.write(b"".join(HEAD + b"stdout F " + line for line in lines))
    hole.trim(log)
    again = hole.read_hole(log)
    assert again is not None and again.start == found.start and again.end > found.end


@pytest.mark.usefixtures("short")
async def test_a_log_that_nobody_trimmed_is_kept_short_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(HEAD + b"stdout F line %06d\n" % number for number in range(20_000)))
    copy_log(log, tmp_path / "kept")
    assert (tmp_path / "kept").stat().st_blocks * 512 < 200_000
    text = b"".join(piece for _, piece in await read_all(tmp_path / "kept"))
    assert text.startswith(b"line 000000\n") and text.endswith(b"line 019999\n") and b"[xnode: " in text


@pytest.mark.engine
async def test_log_flood_keeps_its_head_and_tail(bench: Bench) -> None:
    script = "echo first; yes 0123456789012345678901234567890123456789 | head -c 200000000; echo; sleep 5; echo last"
    spec = bench.spec(script, seconds=100)
    await bench.engine.start(spec)
    with trio.fail_after(120):
        assert (await bench.engine.wait(spec.lease_id)).exit_code == 0
    stat = await bench.file(spec.lease_id, "log").stat()
    assert stat.st_size > 200_000_000 > 100_000_000 > stat.st_blocks * 512
    log = await bench.read_log(spec.lease_id)
    assert log.startswith("first\n") and log.endswith("\nlast\n") and "bytes of this log were not kept" in log


@pytest.mark.usefixtures("short")
async def test_a_reader_that_is_behind_when_the_folder_goes_is_sent_no_zeros(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [b"line %06d\n" % number for number in range(20_000)]
    log.write_bytes(b"".join(HEAD + b"stdout F " + line for line in lines))
    pieces = read_pieces(log, 0, False, lambda: True, trio.sleep_forever)
    whole = (await anext(pieces))[1]
    hole.trim(log)
    log.unlink()
    hole.marker_of(log).unlink()
    async for _, piece in pieces:
        whole += piece
    assert b"\0" not in whole and b"[xnode: " in whole
    assert whole.startswith(b"".join(lines[:500])) and whole.endswith(b"".join(lines[-500:]))
    assert len([line for line in whole.splitlines(keepends=True) if line not in lines]) == 2


@pytest.mark.usefixtures("short")
async def test_a_reader_that_takes_up_a_log_within_its_hole_is_told_what_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(HEAD + b"stdout F line %06d\n" % number for number in range(20_000)))
    offset = (await read_all(log))[1][0]
    hole.trim(log)
    found = hole.read_hole(log)
    assert found is not None and found.start < offset < found.end
    with_marker = await read_all(log, offset)
    hole.marker_of(log).unlink()
    without = await read_all(log, offset)

    assert with_marker[0] == (found.end, found.describe(offset))
    assert offset < without[0][0] <= found.end and without[0][1].startswith(b"\n[xnode: ")
    assert await read_all(log, 1 << 80) == []
