"""Record: what a submitter types from nothing to a paid and audited job, on a real network, in a real terminal.

    python -m examples.record         (as root; `make session`)

Writes docs/session.cast (asciicast v2) and, from it alone, docs/session.svg. Typed is what a person would type; the chain,
two providers, the job's files, the money of a devnet and the address of a first peer are put there before.
"""

from __future__ import annotations

import codecs
import json
import os
import pty
import re
import select
import shutil
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path

from examples.count.text import make_text
from examples.demo import PLANS as DEMO_PLANS
from examples.localnet import Localnet, remove_leftovers
from examples.picture import make_picture
from images.python.build import build as build_image
from xnode.control.client import Control
from xnode.errors import Permanent, Retryable, UserError
from xnode.home import Home

ROOT = Path(__file__).parent.parent
CAST, PICTURE = ROOT / "docs/session.cast", ROOT / "docs/session.svg"

FOLDER = Path("/tmp/xnode-me")
"""The person's home directory, with the network beside: short, because it is on the screen."""

COLUMNS, LINES = 80, 26
"""A terminal as it opens; every table of ours fits it."""

TEXT_BYTES = 24_000_000
TITLE = "xnode: from nothing to a paid job"

TYPING_S = 0.03
"""Between two keys."""

READING_S = 0.8
"""After an answer, before the next command."""

COMMAND_WAIT_S = 180.0

PROMPT = "\x1b]133;A\x07$ "
"""The shell's prompt, with the mark by which terminals know where one begins."""

PLANS = [plan for plan in DEMO_PLANS if plan.region != "us"]
"""One that can run the job, and one that is too small for it."""

JOB = """\
name: count-words
image: oci:./image
command: [python3, /work/in/count.py]
inputs: {text.txt: ./text.txt, count.py: ./count.py}
outputs: ./results
resources: {vcpus: 1, memory: 512MiB, disk: 256MiB}
time_limit: 5m
budget: 1 OPENX
"""


@dataclass(frozen=True, slots=True)
class Act:
    """One command: what is typed, answers to what it asks (as found in its output), what is done unseen after it."""

    command: str
    answers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], None] | None = None


@dataclass(slots=True)
class Session:
    """A shell on a terminal of its own, and all that it prints, with times."""

    descriptor: int
    pid: int
    events: list[tuple[float, str, str]] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    unseen: str = ""
    _decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def type(self, text: str) -> None:
        """Press keys."""
        for letter in text:
            os.write(self.descriptor, letter.encode())
            self.read_for(TYPING_S)

    def mark(self, text: str) -> None:
        """Note what is typed next."""
        self.events.append((time.monotonic() - self.began_s, "m", text))

    def read_until(self, *wanted: str) -> str:
        """Read on until one of these is printed; gives the first. Raises UserError when none comes."""
        end = time.monotonic() + COMMAND_WAIT_S
        while not (found := [one for one in wanted if one in self.unseen]):
            if time.monotonic() > end:
                raise UserError(f"{' or '.join(wanted)!r} was not printed, but: {self.unseen[-300:]!r}")
            self._read(0.2)
        first = min(found, key=self.unseen.index)
        self.unseen = self.unseen.partition(first)[2]
        return first

    def read_for(self, wait_s: float) -> None:
        """Read on for so long."""
        end = time.monotonic() + wait_s
        while (left_s := end - time.monotonic()) > 0:
            self._read(left_s)

    def _read(self, wait_s: float) -> None:
        if not select.select([self.descriptor], [], [], wait_s)[0]:
            return
        text = self._decoder.decode(os.read(self.descriptor, 1 << 16))
        self.events.append((time.monotonic() - self.began_s, "o", text))
        self.unseen += text


def main() -> int:
    """Record, and draw what was recorded."""
    try:
        layout = ROOT / ".cache/images/python"
        build_image(layout)
        with Localnet(FOLDER) as net:
            events = _record(net, layout)
    except (UserError, Permanent, Retryable) as error:
        print(f"nothing was recorded: {error}", file=sys.stderr)
        return 1
    finally:
        remove_leftovers(FOLDER)
    cast = format_cast(events)
    assert str(ROOT) not in cast, "no folder of this machine belongs into the picture"
    assert socket.gethostname() not in cast, "nor does its name"
    CAST.write_text(cast)
    PICTURE.write_text(make_picture(cast))
    print(f"wrote {CAST.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)}")
    return 0


def format_cast(events: list[tuple[float, str, str]]) -> str:
    """The asciicast of these events."""
    head = {"version": 2, "width": COLUMNS, "height": LINES, "title": TITLE, "env": {"SHELL": "sh", "TERM": "xterm"}}
    lines = [head, *([round(at_s, 3), kind, text] for at_s, kind, text in events)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _record(net: Localnet, layout: Path) -> list[tuple[float, str, str]]:
    net.start_chain()
    first = net.add_provider(PLANS[0])
    net.start(first)
    bootstrap = net.bootstrap_of(first)
    net.start(net.add_provider(PLANS[1], bootstrap))
    _lay_out_files(net, layout)
    session = _open_shell(bootstrap[0])
    try:
        session.read_until(PROMPT)
        for act in _list_acts(net):
            _play(session, act)
    finally:
        # The daemon that `job submit` started is in the background.
        net.run("daemon", "stop", home=Home(FOLDER / ".xnode"), check=False)
        os.close(session.descriptor)
        os.waitpid(session.pid, 0)
    return session.events


def _list_acts(net: Localnet) -> tuple[Act, ...]:
    password = (("Password for", "correct horse"), ("Repeat", "correct horse"))

    def fund() -> None:
        wallet = next((FOLDER / ".xnode/keystore").iterdir())
        net.fund("0x" + json.loads(wallet.read_text())["address"].removeprefix("0x"))

    def wait_settled() -> None:
        control = Control(Home(FOLDER / ".xnode").control)
        job_id = control.call("job.list")["rows"][0]["job_id"]
        control.call("job.wait", {"job_id": job_id, "settled": True}, deadline_s=60.0)

    return (
        Act("xnode wallet new", password, fund),
        Act("xnode daemon init --chain manifest.toml"),
        Act("xnode pay deposit 20", password[:1]),
        Act("cat job.yaml"),
        Act("xnode job plan job.yaml"),
        Act("xnode job submit --follow job.yaml", (("place it?", "y"),), wait_settled),
        Act("head -3 results/words.tsv"),
        Act("xnode job ls"),
        Act("xnode job receipts JOB --export evidence"),
        Act("xnode audit evidence"),
        Act("xnode pay withdraw all", password[:1]),
    )


def _play(session: Session, act: Act) -> None:
    session.read_for(READING_S)
    command = act.command.replace("JOB", _find_job(session))
    session.mark(command)
    session.type(command + "\n")
    waiting = list(act.answers)
    while (found := session.read_until(PROMPT, *(question for question, _ in waiting[:1]))) != PROMPT:
        session.read_for(READING_S / 2)
        session.type(dict(waiting)[found] + "\n")
        waiting.pop(0)
    if act.after:
        act.after()


def _find_job(session: Session) -> str:
    """The beginning of the id of the job that was submitted: enough to name it by."""
    said = "".join(text for _, kind, text in session.events if kind == "o")
    found = re.search(r"job (0x[0-9a-f]{8})[0-9a-f]{56}", said)
    return found[1] if found else ""


def _lay_out_files(net: Localnet, layout: Path) -> None:
    """What the person has before: the manifest, the image, the job and its inputs."""
    shutil.copyfile(net.manifest, FOLDER / "manifest.toml")
    shutil.copyfile(ROOT / "examples/count/count.py", FOLDER / "count.py")
    shutil.copytree(layout, FOLDER / "image")
    make_text(FOLDER / "text.txt", TEXT_BYTES)
    (FOLDER / "job.yaml").write_text(JOB)


def _open_shell(bootstrap: str) -> Session:
    pid, descriptor = pty.fork()
    if pid == 0:
        environment = {
            "HOME": str(FOLDER),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PS1": PROMPT,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            # A private network on this machine: where to begin, and a thaw for the impatient.
            "XNODE_NODE__BOOTSTRAP": bootstrap,
            "XNODE_NODE__LISTEN": "/ip4/127.0.0.1/tcp/0",
            "XNODE_SUBMITTER__THAW_S": "10",
        }
        os.chdir(FOLDER)
        os.execve("/bin/sh", ["sh", "-i"], environment)
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    return Session(descriptor, pid)


if __name__ == "__main__":
    sys.exit(main())
