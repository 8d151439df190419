"""Habits of the tests: none sleeps for a time that is hoped to be enough, takes any error for the right one, or prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

NOT_HELD = ("e2e", "field", "hostile", "bench", "image")
"""End-to-end, field, hostile and image tests watch real time go by; benchmarks measure it."""

SLEEPS = {
    "make/waiting.py": "the one place that waits for what tells no one",
    "xnode/net/test_rpc.py": "libp2p cuts off a reader that pauses for 5 s of real time, and must not",
    "xnode/clock_process.py": "a program of its own that looks at its clock until it is killed",
    "xnode/chain/send/test_wanted.py": "a claim is read from the chain again while nothing else happens",
    "xnode/chain/send/test_transactor.py": "the moment of death is what is random there",
    "xnode/runtime/conmon/test_logs.py": "a program that prints at a pace of its own, into a real file",
}
"""May sleep, once each, and why."""

PRINTS = {
    "sim/test_weather.py": "the seed that broke the run, which pytest shows only then",
    "xnode/net/node.py": "a program of its own, whose output tells where it listens",
}
"""May print, once each, and why."""


def find_calls(source: str) -> Iterator[str]:
    """Every call in a module, as it is written up to its first argument's end."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield f"{name}({ast.unparse(node.args[0])})" if node.args else f"{name}()"


def find_habits(source: str) -> list[str]:
    """The bad habits of a module: "sleep", "any error", "print"."""
    return [habit for call in find_calls(source) for habit in _habits_of(call)]


def _habits_of(call: str) -> Iterator[str]:
    name, _, argument = call.partition("(")
    if name.rpartition(".")[2] == "sleep" and name.partition(".")[0] in ("time", "trio", "asyncio", "sleep"):
        yield "sleep"
    if name == "pytest.raises" and argument.rstrip(")") in ("Exception", "BaseException"):
        yield "any error"
    if name == "print":
        yield "print"


@pytest.fixture(scope="module")
def habits() -> dict[str, list[str]]:
    """By file, of every test and its tools."""
    modules = [path for path in TESTS.rglob("*.py") if path.relative_to(TESTS).parts[0] not in NOT_HELD]
    return {path.relative_to(TESTS).as_posix(): find_habits(path.read_text()) for path in modules}


@pytest.mark.parametrize(("habit", "allowed"), [("sleep", SLEEPS), ("any error", {}), ("print", PRINTS)])
def test_only_what_has_a_reason_has_a_bad_habit(
    habits: dict[str, list[str]], habit: str, allowed: dict[str, str]
) -> None:
    found = {path: count for path, each in habits.items() if (count := each.count(habit))}
    assert found == dict.fromkeys(allowed, 1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def test():\n    await trio.sleep(1)", ["sleep"]),
        ("time.sleep(0.1)", ["sleep"]),
        ("from time import sleep\nsleep(1)", ["sleep"]),
        ("with pytest.raises(Exception, match='x'): f()", ["any error"]),
        ("print('here')", ["print"]),
        ("with pytest.raises(ExceptionGroup): trio.sleep_forever()", []),
        ("world.clockwork.sleep(3)", []),
        ("PROGRAM = 'import time; time.sleep(3); print(1)'", []),
    ],
)
def test_a_bad_habit_is_seen(source: str, expected: list[str]) -> None:
    assert find_habits(source) == expected
