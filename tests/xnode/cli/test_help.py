"""What a person reads first: help that fits a terminal, in the order in which commands are needed, a manual, completion."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest

import xnode.cli
from tests.xnode.cli.conftest import DEADLINE_S, Run
from tests.xnode.cli.test_start import HEAVY
from xnode.cli.completion import SHELLS, VARIABLE
from xnode.cli.lazy import MAX_HELP_CHARS, Lazy, LazyGroup
from xnode.cli.main import cli
from xnode.cli.manual import make_manual, walk

COLUMNS = 80

COMMANDS = {" ".join(path[1:]): command for path, command in walk(cli, ["xnode"])}
GROUPS = {name: command for name, command in COMMANDS.items() if isinstance(command, click.Group)}


def find_lazy() -> Iterator[tuple[str, Lazy]]:
    for name, group in GROUPS.items():
        assert isinstance(group, LazyGroup)
        yield from ((f"{name} {one}".strip(), lazy) for one, lazy in group.lazy.items())


def list_commands(help_: str) -> list[str]:
    """The lines of the section Commands, each with a command's name and text."""
    return help_.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_nothing_of_it_is_cut(name: str, xnode_here: Run) -> None:
    shown = xnode_here(*name.split(), "--help", env={"COLUMNS": str(COLUMNS)}).stdout
    assert [line for line in shown.splitlines() if len(line) > COLUMNS] == []
    assert not any(line.endswith("...") for line in list_commands(shown))
    assert "\\b" not in shown


@pytest.mark.parametrize("name", GROUPS)
def test_each_command_has_one_line_in_its_groups_help(name: str, xnode_here: Run) -> None:
    group = GROUPS[name]
    lines = list_commands(xnode_here(*name.split(), "--help", env={"COLUMNS": str(COLUMNS)}).stdout)
    assert [line.split()[0] for line in lines] == group.list_commands(click.Context(group))
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize(("name", "lazy"), list(find_lazy()))
def test_the_line_of_a_command_is_the_first_sentence_of_its_own_help(name: str, lazy: Lazy) -> None:
    assert COMMANDS[name].get_short_help_str(limit=MAX_HELP_CHARS) == lazy.help


def test_every_command_has_a_line_in_a_group() -> None:
    reached = set(map(id, COMMANDS.values())) | {id(cli)}
    modules = [import_module(one.name) for one in pkgutil.walk_packages(xnode.cli.__path__, "xnode.cli.")]
    written = [(f"{one.__name__}:{name}", value) for one in modules for name, value in vars(one).items()]
    assert [where for where, value in written if isinstance(value, click.Command) and id(value) not in reached] == []


def test_commands_come_in_the_order_of_a_life() -> None:
    order = {name: list(group.list_commands(click.Context(group))) for name, group in GROUPS.items()}
    assert order["provider"][:7] == ["init", "run", "status", "price", "leases", "earnings", "withdraw"]
    assert order["job"][:5] == ["init", "validate", "plan", "submit", "ls"]
    assert order["daemon"] == ["init", "run", "start", "status", "stop"]
    assert order["pay"][:2] == ["deposit", "balance"]
    assert order[""][:3] == ["quickstart", "wallet", "provider"] and order[""][-1] == "completion"


def test_without_a_command_the_two_ways_in_are_told(xnode_here: Run) -> None:
    shown = xnode_here(env={"COLUMNS": str(COLUMNS)})
    ways = [line.strip() for line in shown.stderr.splitlines() if line.strip().startswith("To ")]
    assert [way.split(":")[0] for way in ways] == ["To sell", "To buy", "To try"]
    assert "xnode provider setup" in ways[0] and "xnode quickstart" in ways[1]


def test_the_manual_has_every_command_and_every_option() -> None:
    page = make_manual().replace(r"\-", "-")
    for name, command in COMMANDS.items():
        assert not name or f'.SS "xnode {name}"\n' in page
        part = page.partition(f'.SS "xnode {name}"\n')[2].partition("\n.SS ")[0] if name else page
        for option in command.params:
            assert not isinstance(option, click.Option) or option.hidden or option.opts[-1] in part, (name, option.opts)
    assert ".TP\n\\fB10\\fR\n" in page, "exit codes"


def test_the_manual_sets_no_text_as_a_request() -> None:
    requests = {line.split()[0] for line in make_manual().splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi"}


def test_help_of_completion_has_a_line_per_shell(xnode_here: Run) -> None:
    shown = [line.split() for line in xnode_here("completion", "--help").stdout.splitlines()]
    assert [line[0] for line in shown if line and line[0].rstrip(":") in SHELLS] == [f"{shell}:" for shell in SHELLS]


def test_an_argument_that_is_missing_is_named_on_one_line(xnode_here: Run) -> None:
    error = xnode_here("completion").stderr.splitlines()[0]
    assert error == "error: Missing argument 'SHELL'. Choose from: bash, zsh, fish"


def test_every_exit_code_of_the_shell_is_in_help(xnode_here: Run) -> None:
    shown = xnode_here("--help").stdout.split("Exit codes:")[1].split()
    assert "130" in shown and "141" in shown


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_its_completion(shell: str, xnode_here: Run) -> None:
    done = xnode_here("completion", shell)
    assert done.returncode == 0 and f"{VARIABLE}={shell}_complete" in done.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("xnode pro", "provider"),
        ("xnode provider se", "self-test"),
        ("xnode provider init --reg", "--region"),
        ("xnode job submit --fo", "--follow"),
        ("xnode -", "--home"),
    ],
)
def test_completing_imports_nothing_heavy(words: str, found: str, environment: dict[str, str]) -> None:
    code = (
        "import sys\nfrom xnode.cli.main import main\n"
        "try:\n    main()\n"
        f"finally:\n    print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), VARIABLE: "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **asked},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert f"plain,{found}" in done.stdout.splitlines() and "HEAVY []" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((f"job {name}", "Without FILE") for name in ("init", "validate", "plan", "submit")),
        ("job cp", "Without FOLDER they are copied into the current folder."),
    ],
)
def test_what_is_meant_without_an_argument_is_in_help(name: str, words: str, xnode_here: Run) -> None:
    shown = xnode_here(*name.split(), "--help", env={"COLUMNS": str(COLUMNS)}).stdout
    assert words in shown and ("FILE" not in words or "job.yaml." in shown)
