"""What a person sees for each mistake: one line that says what, where and what to do, and the exit code of its kind."""

from __future__ import annotations

import json
import logging
import socket
import threading
from pathlib import Path

import pytest
import structlog

from tests.make.layout import make_layout
from tests.make.scene import make_scene
from tests.xnode.cli.conftest import Run, error_lines
from tests.xnode.cli.fake_daemon import JOB
from xnode.cli.access.deployment import run_async
from xnode.errors import ExitCode
from xnode.home import Home

GOOD_JOB = "image: oci:./image\ntime_limit: 1m\nbudget: 1 OPENX\n"


def _write_job(home: Home, text: str = GOOD_JOB) -> None:
    make_layout(home.folder / "image")
    (home.folder / "job.yaml").write_text(text)


def _check(done: object, code: ExitCode, *words: str, lines: int = 1) -> None:
    stderr = error_lines(done.stderr)  # type: ignore[attr-defined]
    assert done.returncode == code, stderr  # type: ignore[attr-defined]
    assert len(stderr) == lines, stderr
    assert all(line.startswith("error: ") for line in stderr)
    for word in words:
        assert word in " ".join(stderr)
    assert done.stdout == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("jbo",), ('no command "jbo"', 'did you mean "job"', "xnode --help")),
        (("job", "validat"), ('did you mean "validate"',)),
        (("job", "ls", "-o", "yaml"), ("'yaml' is not one of", "xnode job ls --help")),
        (("chain", "views"), ("Choose from: token, registry,", "xnode chain views --help")),
        (("job", "show"), ("Missing argument", "xnode job show --help")),
        (("chain", "views"), ("Choose from: token, registry",)),
        (("job", "wait", "0x12", "--timeout", "soon"), ("not a valid float",)),
        (("--nonsense",), ("No such option",)),
        (("provider", "price", "set", "vcpu"), ("NAME=PRICE",)),
        (("provider", "price", "set", "vcpu_hours=1"), ("did you mean vcpu_hour",)),
    ],
)
def test_a_mistyped_command_line_is_one_line_with_where_to_look(
    xnode: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    _check(xnode(*arguments), ExitCode.USAGE, *words)


def test_what_is_logged_while_a_command_waits_is_printed_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        structlog.get_logger().warning("chain is away")
        logging.getLogger("of a library").warning("connection is away")

    before, was_configured = structlog.get_config(), structlog.is_configured()
    structlog.reset_defaults()
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    try:
        run_async(work)
    finally:
        root.handlers[:] = handlers
        structlog.reset_defaults()
        if was_configured:
            structlog.configure(**before)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.parametrize(
    "arguments",
    [("job", "ls"), ("job", "show", "0x12"), ("job", "logs", "0x12"), ("provider", "status"), ("daemon", "stop")],
)
def test_without_a_daemon_the_line_says_how_to_start_one(xnode: Run, arguments: tuple[str, ...]) -> None:
    _check(xnode(*arguments), ExitCode.NO_DAEMON, "daemon run")


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("command", ["show", "logs", "wait", "stop", "cp"])
def test_an_unknown_job_is_not_found(xnode: Run, command: str) -> None:
    _check(xnode("job", command, "0xdeadbeef"), ExitCode.NOT_FOUND, "0xdeadbeef")


def test_every_mistake_in_a_job_file_comes_at_once_with_its_line(xnode: Run, home: Home) -> None:
    _write_job(home, "image: oci:./image\ntime_limit: soon\nbudgt: 1 OPENX\nresources: {memory: 1G}\n")
    done = xnode("job", "validate", "job.yaml")
    _check(done, ExitCode.USAGE, "job.yaml:2: time_limit", "did you mean budget", "1GiB", lines=4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "not a text file"),
        (b"", "empty"),
        (b"a: [", "not YAML"),
        (b"!!python/object/apply:os.system [ls]", "tags"),
        (b"x" * 300_000, "larger than"),
    ],
)
def test_a_file_that_is_no_job_is_one_line(xnode: Run, home: Home, content: bytes, words: str) -> None:
    (home.folder / "job.yaml").write_bytes(content)
    _check(xnode("job", "validate"), ExitCode.USAGE, words)


def test_a_missing_job_file_is_named(xnode: Run) -> None:
    _check(xnode("job", "validate", "nowhere.yaml"), ExitCode.NOT_FOUND, "nowhere.yaml: no such job file")


def test_files_that_the_job_names_must_be_there(xnode: Run, home: Home) -> None:
    _write_job(home, GOOD_JOB.replace("./image", "./imgae") + "inputs: {a.txt: ./missing.txt}\n")
    _check(
        xnode("job", "validate"),
        ExitCode.USAGE,
        "image: ./imgae was not found",
        "podman save",
        "./missing.txt",
        lines=2,
    )


def test_a_job_file_is_not_overwritten_unasked(xnode: Run) -> None:
    assert xnode("job", "init").returncode == 0
    _check(xnode("job", "init"), ExitCode.CONFLICT, "job.yaml", "--force")
    assert xnode("job", "init", "--force").returncode == 0


def test_a_job_file_to_start_from_names_an_image_that_is_there(xnode_here: Run, home: Home) -> None:
    assert "which is not there yet" in xnode_here("job", "init").stderr
    make_layout(home.folder / "image")
    done = xnode_here("job", "init", "--force")
    assert done.returncode == 0 and "about the image oci:./image" in done.stderr
    assert xnode_here("job", "validate").returncode == 0
    assert xnode_here("job", "init", "--force", "--image", "train").returncode == 0
    assert "\nimage: train\n" in (home.folder / "job.yaml").read_text()
    before = (home.folder / "job.yaml").read_text()
    _check(
        xnode_here("job", "init", "--force", "--image", "./nowhere"), ExitCode.USAGE, "--image: ./nowhere was not found"
    )
    assert (home.folder / "job.yaml").read_text() == before


@pytest.mark.usefixtures("daemon")
def test_a_price_is_not_accepted_without_a_terminal(xnode: Run, home: Home) -> None:
    _write_job(home)
    done = xnode("job", "submit", "job.yaml")
    assert done.returncode == ExitCode.USAGE
    assert (
        error_lines(done.stderr)[-1]
        == "error: job.yaml: not a terminal: the price needs an answer | hint: pass --yes to accept it"
    )


@pytest.mark.usefixtures("daemon")
def test_a_job_that_fits_nowhere_ends_with_every_reason(xnode: Run, home: Home) -> None:
    _write_job(home, GOOD_JOB + "resources: {memory: 4096GiB}\n")
    done = xnode("job", "submit", "job.yaml")
    assert done.returncode == ExitCode.NO_MATCH
    assert "less memory is free than the job asks for" in done.stderr
    assert xnode("job", "plan", "job.yaml").returncode == ExitCode.NO_MATCH


def test_bad_settings_come_at_once_with_their_paths(xnode: Run, home: Home) -> None:
    home.config.write_text('[node]\nlisten = ["tcp:1"]\n[chain]\nmanifets = "x"\n')
    _check(
        xnode("daemon", "run"), ExitCode.USAGE, "node.listen.0", 'did you mean "manifest"', "chain.manifest", lines=3
    )


def test_a_home_that_is_no_provider_says_how_to_become_one(xnode: Run, home: Home) -> None:
    home.config.write_text('[chain]\nmanifest = "x"\n')
    _check(xnode("provider", "run"), ExitCode.USAGE, "provider init")


def test_a_socket_without_an_answer_is_a_timeout_and_not_a_hang(
    xnode: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(home.control))
        mute.listen(8)
        _check(xnode("job", "wait", "0x1234", "--timeout", "0.3"), ExitCode.TIMEOUT, "did not answer job.wait")


@pytest.mark.parametrize(
    "answer",
    [b"not json\n", b'{"id":1}\n', b'{"id":1,"error":7}\n', b"[1]\n", b'{"id":1,"error":{"exit_code":99}}\n', b""],
)
def test_a_socket_that_talks_nonsense_is_one_line(xnode: Run, home: Home, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as wrong:
        wrong.bind(str(home.control))
        wrong.listen(1)

        def reply() -> None:
            connection, _ = wrong.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        done = xnode("job", "ls")
        thread.join(10)
    assert done.returncode in (ExitCode.NO_DAEMON, ExitCode.FAILED)
    assert len(error_lines(done.stderr)) == 1


def test_a_home_too_deep_for_a_socket_is_explained(xnode: Run, tmp_path: Path) -> None:
    deep = f"/tmp/{'d' * 120}"
    _check(xnode("--home", deep, "job", "ls"), ExitCode.USAGE, "XNODE_HOME")
    findings = {row["what"]: row for row in json.loads(xnode("--home", deep, "doctor", "-o", "json").stdout)}
    assert findings["daemon"]["verdict"] == "fail" and "XNODE_HOME" in findings["daemon"]["hint"]


@pytest.mark.usefixtures("daemon")
def test_a_peers_text_cannot_steer_the_terminal(xnode: Run) -> None:
    for arguments in (("offer", "ls"), ("provider", "status")):
        done = xnode(*arguments)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout and "\\x1b[31mEU" in done.stdout


@pytest.mark.usefixtures("daemon")
def test_a_bug_is_one_line_and_its_traceback_a_file(
    xnode_here: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_assets: object) -> str:
        raise KeyError("missing")

    monkeypatch.setattr("xnode.cli.job.view.common_asset", wrong)
    done = xnode_here("job", "ls")
    _check(done, ExitCode.FAILED, "bug", str(home.crash_log))
    assert "Traceback" in home.crash_log.read_text()
    assert home.crash_log.stat().st_mode & 0o077 == 0


def test_a_home_that_is_a_file_is_named(xnode: Run, home: Home) -> None:
    (home.folder / "note").write_text("x")
    _check(xnode("--home", "note", "job", "ls"), ExitCode.USAGE, "note: is not a folder", "--home")


@pytest.mark.usefixtures("daemon")
def test_a_copy_takes_no_files_place_unasked(xnode: Run, home: Home) -> None:
    assert xnode("job", "cp", JOB, "out").returncode == 0
    assert (home.folder / "out/latest.txt").readlink() == Path("sub/result.txt")
    assert (home.folder / "out/sub/result.txt").read_bytes() == b"result\n"
    (home.folder / "out/sub/result.txt").write_text("mine")
    _check(xnode("job", "cp", JOB, "out"), ExitCode.CONFLICT, "--force")
    assert (home.folder / "out/sub/result.txt").read_text() == "mine"
    assert xnode("job", "cp", JOB, "out", "--force").returncode == 0
    assert (home.folder / "out/sub/result.txt").read_bytes() == b"result\n"


@pytest.mark.usefixtures("daemon")
def test_a_copy_of_a_part_says_what_is_missing_and_is_no_success(xnode: Run, home: Home) -> None:
    half = "0x" + make_scene().half.hex()
    done = xnode("job", "cp", half, "out")
    assert done.returncode == ExitCode.PARTIAL and "1 output could not be fetched: the provider has 1" in done.stderr
    assert "1 left out" in done.stderr and (home.folder / "out/sub/result.txt").read_bytes() == b"result\n"
    assert xnode("job", "cp", half, "chosen", "--only", "sub/*").returncode == 0
    _check(xnode("job", "cp", half, "chosen", "--only", "*.csv"), ExitCode.NOT_FOUND, "no output matches *.csv")
    assert xnode("job", "wait", half).returncode == ExitCode.PARTIAL
    assert xnode("job", "wait", half, "-o", "json").returncode == ExitCode.PARTIAL


@pytest.mark.usefixtures("daemon")
def test_a_job_that_failed_is_never_a_success(xnode: Run) -> None:
    scene = make_scene()
    assert xnode("job", "wait", scene.broken.hex(), "-o", "json").returncode == ExitCode.FAILED
    assert xnode("job", "wait", scene.misfit.hex()).returncode == ExitCode.NO_MATCH
