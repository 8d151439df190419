"""What the log says, and what it must never say."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from xnode.logs import MAX_TEXT_CHARS, RATION, RATION_S, Rationing, log_context, set_up_logs


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logs("info", tmp_path / "log")
    yield tmp_path / "log"
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _read(log_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file.read_text().splitlines()]


def test_a_line_is_json_with_time_level_event_and_facts(log_file: Path) -> None:
    structlog.get_logger().info("lease opened", number=3, hash=b"\x01\xff")
    (line,) = _read(log_file)
    assert (line["event"], line["level"], line["number"], line["hash"]) == ("lease opened", "info", 3, "0x01ff")
    assert line["timestamp"].endswith("Z")


def test_lines_inside_a_context_carry_its_ids_and_lines_after_do_not(log_file: Path) -> None:
    with log_context(job=b"\xaa", lease=b"\xbb"):
        structlog.get_logger().info("in")
    structlog.get_logger().info("out")
    inside, outside = _read(log_file)
    assert (inside["job"], inside["lease"]) == ("0xaa", "0xbb")
    assert "job" not in outside


@pytest.mark.parametrize("name", ["password", "node_private_key", "client_secret"])
def test_secrets_are_hidden_by_name(log_file: Path, name: str) -> None:
    structlog.get_logger().warning("oops", **{name: "hunter2"})
    assert "hunter2" not in log_file.read_text()


def test_a_peers_text_is_escaped_and_cut(log_file: Path) -> None:
    structlog.get_logger().info("refused", detail="\x1b[2J\n" + "x" * 10_000)
    (line,) = _read(log_file)
    assert "\x1b" not in line["detail"] and "\n" not in line["detail"]
    assert len(line["detail"]) <= MAX_TEXT_CHARS + 1


def test_other_libraries_lines_have_the_same_form(log_file: Path) -> None:
    logging.getLogger("library").warning("said %s", "\x1b[1m", extra={"password": "x1y2"})
    (line,) = _read(log_file)
    assert line["level"] == "warning" and "x1y2" not in str(line) and "\\u001b" not in log_file.read_text()


def test_a_traceback_is_one_field_of_one_line(log_file: Path) -> None:
    try:
        raise ValueError("boom")
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = _read(log_file)
    assert "ValueError: boom" in line["exception"]


def test_the_log_is_for_its_owner_only(log_file: Path) -> None:
    assert log_file.stat().st_mode & 0o077 == 0


def test_lines_that_strangers_cause_do_not_push_out_the_others(log_file: Path) -> None:
    log = structlog.get_logger()
    for number in range(1000):
        log.info("refused", number=number)
        log.info("lease opened", number=number)
    lines = Counter(line["event"] for line in _read(log_file))
    assert lines == {"refused": RATION, "lease opened": 1000}


def test_what_was_left_out_is_counted_in_the_next_line_that_is_written() -> None:
    now = [0.0]
    ration = Rationing(lambda: now[0])
    written = []
    for number in range(1000):
        now[0] = number // 500 * RATION_S
        with suppress(structlog.DropEvent):
            written.append(ration(None, "info", {"event": "refused"}))
    assert len(written) == 2 * RATION
    assert [one["left_out_before"] for one in written if "left_out_before" in one] == [500 - RATION]
