"""A log can be taken up again at any of its offsets, and never grows memory."""

from __future__ import annotations

import os
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from tests.xnode.runtime.conftest import Bench
from xnode.runtime.conmon.logs import MAX_PIECE_BYTES, find_record, parse_records, read_pieces
from xnode.runtime.podman.command import LOG_LIMIT_BYTES

ONE_RECORD_BYTES = 9_000
"""conmon looks at its limit before it writes."""

HEAD = b"2026-01-01T00:00:00.000000000+00:00 "


def test_partial_records_are_joined_and_full_ones_end_with_a_newline() -> None:
    raw = HEAD + b"stdout P one \n" + HEAD + b"stderr P two\n" + HEAD + b"stdout F three\n" + HEAD + b"stdout F \n"
    assert parse_records(raw) == (b"one twothree\n\n", len(raw))


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
        starts = {find_record(fd, offset) for offset in range(-1, len(first + second) + 9)}
        assert starts == {0, len(first), len(first + second)}
        assert find_record(fd, len(first)) == len(first)
        assert find_record(fd, len(first) + 1) == len(first + second)
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


@pytest.mark.engine
async def test_log_flood_is_cut_off_at_its_limit_and_offsets_stay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bench.spec(
        "echo first; yes 0123456789012345678901234567890123456789 | head -c 100000000; echo last", seconds=50
    )
    await bench.engine.start(spec)
    with trio.fail_after(60):
        assert (await bench.engine.wait(spec.lease_id)).exit_code == 0
    size = (await bench.file(spec.lease_id, "log").stat()).st_size
    assert LOG_LIMIT_BYTES // 2 < size <= LOG_LIMIT_BYTES + ONE_RECORD_BYTES
    async with aclosing(bench.engine.read_logs(spec.lease_id, 0, False)) as pieces:
        _, piece = await anext(pieces)
    assert piece.startswith(b"first\n")
