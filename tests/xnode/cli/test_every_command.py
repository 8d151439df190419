"""Every command that there is, found by introspection, with what a person can give it: one line, the right code, no traceback."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import trio
from msgspec.structs import replace

import xnode.cli.node.launch as launch
import xnode.cli.node.service as service
import xnode.control.client as client
import xnode.given_file as given_file
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.fake_daemon import JOB, LEASE, open_methods
from xnode.chain.deployment.manifest import write_manifest
from xnode.cli.main import cli, run
from xnode.cli.manual import walk
from xnode.cli.terminal.failure import INTERRUPTED, PIPE_CLOSED
from xnode.control.server import serve_control
from xnode.errors import ExitCode
from xnode.home import Home
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

ERASE = "\r\x1b[2K"
"""Our own: the line of progress is drawn anew."""

SLOW_S = 20.0
"""Nothing is asked of a network here: what takes longer hangs."""

CODES = {*map(int, ExitCode), INTERRUPTED, PIPE_CLOSED}

ADDRESS = "0x" + "11" * 20

GOOD = {
    "job_id": JOB[:12], "lease_id": LEASE, "leases": LEASE, "amount": "1", "cap": "1", "prices": "vcpu_hour=1",
    "contract": "token",
    "view": "name", "shell": "bash", "addresses": ADDRESS, "provider": ADDRESS, "recipient": ADDRESS,
    "declared": "cpu=1", "source": "binary",
    "image": "img", "documents": "text", "export": "exp", "folder": "exp", "plan_file": "text", "rpc_url": "http://127.0.0.1:9",
    "manifest": "manifest.toml",
}  # fmt: skip
"""A value for each parameter that some command requires, by its name."""

LASTING = {"daemon run", "provider run", "daemon start", "provider self-test"}
"""With good arguments these go on, or take a core for a minute."""

TEXTS = {
    "empty": "", "space": " ", "steers": "\x1b]0;x\x07\x1b[31mred\nline", "unicode": "名前🙂", "minus": "-1",
    "digits": "9" * 5000, "bytes": "\udcff\udcfe", "0x": "0x" + "zz" * 20, "nan": "nan", "dots": "../../etc/passwd",
}  # fmt: skip
PATHS = {
    "empty": "", "missing": "nowhere", "folder": "dir", "binary": "binary", "nothing": "empty", "pipe": "pipe",
    "endless": "/dev/zero", "loop": "loop", "deep": "deep.json", "long": "x" * 5000, "steers": "\x1b[31mx",
    "below a file": "text/x", "bytes": "\udcff", "unreadable": "/proc/self/mem",
}  # fmt: skip
NUMBERS = {"minus": "-1", "digits": "9" * 5000, "word": "x", "empty": "", "nan": "nan", "inf": "inf", "big": "1e400"}
CHOICES = {"empty": "", "steers": "\x1b[31m", "unknown": "yaml"}

NEW_FOLDER = {"missing", "folder", "steers", "bytes"}
"""Fine where something is written into a folder."""

ACCEPTED = {
    # An option that is empty is one that is not given: scripts pass variables so.
    ("offer ls", "region"): set(TEXTS), ("offer ls", "gpu"): set(TEXTS),
    ("job init", "image"): {"nan", "0x"}, ("job ls", "since"): {"empty"}, ("provider leases", "since"): {"empty"},
    ("provider earnings", "since"): {"empty"},
    ("wallet new", "name"): {"nan"}, ("wallet show", "wallet"): {"empty"},
    ("daemon init", "rpc_url"): {"empty"}, ("daemon init", "payer"): {"empty"},
    ("provider receipts", "export"): NEW_FOLDER, ("provider verifier documents", "export"): NEW_FOLDER,
    ("job receipts", "export"): NEW_FOLDER, ("fault seen", "export"): NEW_FOLDER, ("job cp", "folder"): NEW_FOLDER,
    ("job init", "file"): {"missing", "steers", "bytes"},
    ("wallet new", "password_file"): {"deep"}, ("provider self-test", "limit_s"): {"empty"},
    ("provider self-test", "n"): {"minus"}, ("install systemd", "root"): {"folder"}, ("uninstall systemd", "root"): {"folder"},
}  # fmt: skip
"""What is no mistake, though it looks like one: (command, parameter) to the kinds of values."""

COMMANDS = {
    " ".join(path[1:]): command
    for path, command in walk(cli, ["xnode"])
    if not isinstance(command, click.Group) or command.invoke_without_command
}


class Terminal(io.BytesIO):
    """Bytes that were written to a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Done:
    """What a command line came to."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    took_s: float


@dataclass(frozen=True)
class Place:
    """A home that is set up, a folder with odd files, and how it all was."""

    home: Home
    folder: Path
    kept: dict[Path, bytes]

    def restore(self) -> None:
        for path, data in self.kept.items():
            path.write_bytes(data)
        for path in self.folder.iterdir():
            if path.name not in _ODD:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in (self.folder / "dir").iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in self.home.keystore.iterdir():
            if path.name != "owner":
                path.unlink()

    def run(self, *words: str) -> Done:
        self.restore()
        saved = sys.stdin, sys.stdout, sys.stderr
        out, err = (io.TextIOWrapper(Terminal(), encoding="utf-8", errors="backslashreplace") for _ in range(2))
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(), out, err
        begin = time.monotonic()
        try:
            code = run(words)
        finally:
            sys.stdin, sys.stdout, sys.stderr = saved
        took_s = time.monotonic() - begin
        out.flush()
        err.flush()
        return Done(words, code, _text_of(out), _text_of(err), took_s)


_ODD = {"binary", "empty", "dir", "pipe", "loop", "text", "deep.json", "pw", "manifest.toml"}


def _text_of(stream: io.TextIOWrapper) -> str:
    raw = stream.buffer
    assert isinstance(raw, Terminal)
    return raw.getvalue().decode()


def _make_odd_files(folder: Path) -> None:
    (folder / "binary").write_bytes(bytes(range(256)) * 50)
    (folder / "empty").touch()
    (folder / "dir").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "text").write_text("hello\x1b[31m: [\n")
    (folder / "deep.json").write_text("[" * 3000)
    (folder / "pw").write_text("correct horse\n")
    write_manifest(folder / "manifest.toml", replace(MANIFEST, rpc_url="http://127.0.0.1:9"))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="xnode-"))
    home, work = Home(folder / "h"), folder / "w"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("XNODE_", "ETH_"))]:
            patch.delenv(name)
        patch.setenv("XNODE_HOME", str(home.folder))
        patch.setenv("COLUMNS", "80")
        patch.setenv("NO_COLOR", "1")
        patch.setenv("XNODE_ANVIL", "/bin/false")
        patch.setattr(given_file, "WAIT_S", 0.05)
        patch.setattr(launch, "STOP_DEADLINE_S", 0.1)
        # This machine's own services are left alone.
        patch.setattr(service, "ROOT", str(work / "dir"))
        patch.setattr(client, "DEADLINE_S", 5.0)
        patch.setattr(Keystore.add, "__defaults__", (MACHINE_ROUNDS,))
        patch.setattr(Keystore.make_new, "__defaults__", (MACHINE_ROUNDS,))
        work.mkdir()
        patch.chdir(work)
        _make_odd_files(work)
        patch.setenv("ETH_PASSWORD", str(work / "pw"))
        trio.run(Keystore(home.keystore).make_new, "owner", "correct horse", MACHINE_ROUNDS)
        assert run(["provider", "init", "--chain", "manifest.toml"]) == ExitCode.UNREACHABLE
        assert run(["daemon", "init", "--chain", "manifest.toml"]) == 0
        kept = [home.config, home.node_key, home.node_address, home.password]
        yield Place(home, work, {path: path.read_bytes() for path in kept})
    shutil.rmtree(folder)


@contextmanager
def serving(home: Home, folder: Path) -> Iterator[None]:
    """A daemon that knows a few jobs and offers."""
    ready, token = threading.Event(), []

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_methods(folder) as methods, trio.open_nursery() as nursery:
                await nursery.start(serve_control, home.control, methods)
                token.append((trio.lowlevel.current_trio_token(), scope))
                ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert ready.wait(20)
    try:
        yield
    finally:
        token[0][0].run_sync_soon(token[0][1].cancel)
        thread.join(10)


@pytest.fixture(scope="module")
def served(place: Place) -> Iterator[Place]:
    with serving(place.home, place.home.folder / "d"):
        yield place


def values_of(parameter: click.Parameter) -> dict[str, str]:
    match parameter.type:
        case click.types.IntParamType() | click.types.FloatParamType():
            return NUMBERS
        case click.Choice():
            return CHOICES
        case click.Path():
            return PATHS
    return TEXTS


def make_words(command: click.Command, changed: click.Parameter | None = None, value: str = "") -> list[str]:
    """Arguments with which the command would do its work, but for one."""
    options, arguments = [], []
    for one in command.params:
        given = value if one is changed else GOOD[one.name or ""] if one.required else None
        if given is not None and isinstance(one, click.Option):
            options += [f"{one.opts[-1]}={given}" if one.opts[-1].startswith("--") else one.opts[-1], given][
                : 1 if one.opts[-1].startswith("--") else 2
            ]
        elif given is not None:
            arguments.append(given)
    return [*options, "--", *arguments]


def find_fault(done: Done, must_fail: bool = False) -> str:
    """What is wrong with how a command line ended, "" when nothing is."""
    said = (done.out + done.err).replace(ERASE, "")
    if "bug in xnode" in said or "Traceback" in said:
        return f"a bug: {done.err[:300]}"
    if done.code not in CODES or (must_fail and done.code == 0):
        return f"exit code {done.code}: {said[:200]}"
    if any((ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160 for one in said):
        return f"steers the terminal: {said[-200:]!r}"
    if done.code and done.err.count("error:") == 0 and done.out == "":
        return "fails and says nothing"
    if max(map(len, done.err.splitlines()), default=0) > 700:
        return f"a line of {max(map(len, done.err.splitlines()))} characters"
    return f"took {done.took_s:.0f} s" if done.took_s > SLOW_S else ""


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_a_command_is_given_is_answered_with_a_line_and_a_code(name: str, served: Place) -> None:
    command, faults = COMMANDS[name], []
    for one in command.params:
        if isinstance(one, click.Option) and one.is_flag:
            continue
        fine = ACCEPTED.get((name, one.name or ""), set())
        for kind, value in values_of(one).items():
            if name in LASTING and kind in fine:
                continue
            done = served.run(*name.split(), *make_words(command, one, value))
            fault = find_fault(done, must_fail=kind not in fine)
            faults += [f"{one.name} {kind}: {fault}"] if fault else []
    assert faults == []


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - LASTING))
def test_a_command_with_good_arguments_ends(name: str, served: Place) -> None:
    done = served.run(*name.split(), *make_words(COMMANDS[name]))
    assert find_fault(done) == ""


ASKING = [
    name
    for name, command in sorted(COMMANDS.items())
    if name not in LASTING
    and not any(one.name == "manifest" for one in command.params)
    and not name.startswith("chain ")
]
"""Commands that ask a daemon, and a few that ask nothing: those that ask the chain wait for it here, again and again."""

NONSENSE = (
    b"", b"\xff\xfe\n", b"[]\n", b'"x"\n', b"7\n", b'{"result":null}\n', b'{"result":[]}\n', b'{"result":{}}\n',
    b'{"result":7}\n',
    b'{"result":[7]}\n', b'{"result":[{}]}\n', b'{"result":{"pid":"\\u001b[31m","job":7,"job_id":[]}}\n', b'{"error":null}\n',
    b'{"error":{"exit_code":[],"message":"\\u001b[31m"}}\n', b'{"item":1}\n{"end":1}\n', b'{"item":{}}\n', b"{}\n" * 3,
    b'{"result":' + b"[" * 5000 + b"\n",
)  # fmt: skip


@pytest.mark.parametrize("reply", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_no_daemon_behind_the_socket_is_said_and_obeyed_in_nothing(reply: bytes, place: Place) -> None:
    place.home.control.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place.home.control))
    listener.listen(50)

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1.0)
                try:
                    connection.recv(65536)
                    connection.sendall(reply)
                except OSError:
                    continue

    threading.Thread(target=answer, daemon=True).start()
    faults = []
    try:
        for name in ASKING:
            fault = find_fault(place.run(*name.split(), *make_words(COMMANDS[name])))
            faults += [f"{name}: {fault}"] if fault else []
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        place.home.control.unlink()
    assert faults == []
