"""A wheel without any extra, in an environment of its own: every command works, or says in one line what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hatch_build import SIGNATURE_VARIABLE
from packages.lock import make_constraints, pins_of
from packages.one_name import place_of
from packages.release import read_manifest, sign
from tests.xnode.release.test_sshsig import Key, needs_openssh
from xnode.chain.deployment.anvil import VARIABLE, find_anvil

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")
DEADLINE_S = 300

WALK = """
import sys
import click
from xnode.cli.main import cli, run

def walk(command, path):
    assert run([*path, "--help"]) == 0, path
    print("SHOWN", *path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            walk(command.get_command(context, name), [*path, name])

walk(cli, [])
"""


def run(
    command: list[str | Path], folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XNODE_", "ETH_", "PYTHON"))}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**kept, **(env or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def install(wheel: Path, folder: Path) -> Path:
    """A new environment with the wheel and the locked versions of what it needs; its Python."""
    pins = [line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line[:80]]
    (folder / "pins.txt").write_text("\n".join(pin for pin in pins if pin[0].isalpha()))
    assert run([UV, "venv", "-q", "--python", sys.executable, folder / "venv"], ROOT).returncode == 0
    python = folder / "venv" / "bin" / "python"
    command: list[str | Path] = [UV, "pip", "install", "-q", "--python", python, "-c", folder / "pins.txt", wheel]
    # What made this environment left all of it in uv's cache.
    done = run([*command, "--offline"], ROOT)
    if done.returncode:
        done = run(command, ROOT)
    assert done.returncode == 0, done.stderr
    return python


def build(folder: Path, env: Mapping[str, str] | None = None) -> Path:
    """The wheel, built into a folder."""
    command: list[str | Path] = [
        UV,
        "build",
        "-q",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
    ]
    done = run(command, ROOT, env)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with nothing but the wheel and what it depends on."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


class Installed:
    """The wheel's program, with a home of its own."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder

    def __call__(
        self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `xnode ARGUMENTS` printed, once it has ended as it should."""
        done = run([self.python.with_name("xnode"), *arguments], self.folder, {**self.env, **(env or {})})
        assert done.returncode == code and "Traceback" not in done.stderr, (done.returncode, done.stderr)
        return done

    @property
    def env(self) -> dict[str, str]:
        return {"XNODE_HOME": str(self.folder / "home")}


@pytest.fixture
def xnode(python: Path, tmp_path: Path) -> Iterator[Installed]:
    (tmp_path / "pw").write_text("correct horse\n")
    yield Installed(python, tmp_path)


def names_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def test_a_wheel_has_one_name_at_the_top(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names_of(wheel)}
    assert {one for one in tops if not one.endswith((".dist-info", ".data"))} == {"xnode"}
    assert {"xnode/metering/receipt.py", "xnode/scheduler/book.py", "xnode/chain/artifacts/PaymentEscrow.json"} <= set(
        names_of(wheel)
    )


def test_a_wheel_built_twice_is_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_a_wheel_has_all_that_the_repository_has_and_nothing_compiled(wheel: Path) -> None:
    listed = run(["git", "ls-files", "xnode", "metering", "scheduler"], ROOT).stdout.split()
    assert listed, "needs a clone"
    assert {place_of(name) for name in listed if (ROOT / name).is_file()} <= set(names_of(wheel))
    assert not [name for name in names_of(wheel) if name.endswith(".pyc")]


@pytest.mark.parametrize(("extra", "brings_all"), [("locked", False), ("locked-all", True)])
def test_an_extra_brings_the_tested_versions(wheel: Path, extra: str, brings_all: bool) -> None:
    lines = [line for line in metadata_of(wheel).splitlines() if line.endswith(f"extra == '{extra}'")]
    pins = pins_of(ROOT, all_extras=brings_all)
    assert len(lines) == len(pins) > 50
    assert f"Provides-Extra: {extra}\n" in metadata_of(wheel)
    for pin, line in zip(pins, lines, strict=True):
        assert line.startswith(f"Requires-Dist: {pin.name}=={pin.version} ;") and pin.marker in line


def test_beside_the_distributions_of_its_cores_names_everything_works(python: Path, tmp_path: Path) -> None:
    for name in ("metering", "scheduler"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the other distribution was imported')")
    code = "import sys; sys.path.insert(0, ''); from xnode.metering.receipt import Receipt; print(Receipt.__module__)"
    assert run([python, "-c", code], tmp_path).stdout == "xnode.metering.receipt\n"
    done = run([python, "-m", "xnode.cli.main", "--help"], tmp_path, {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0 and "Commands:" in done.stdout, done.stderr


def test_what_is_pickled_is_read_by_another_process(python: Path, tmp_path: Path) -> None:
    write = "import pickle; from xnode.metering.refusal import Refusal; open('p', 'wb').write(pickle.dumps(Refusal('a', 'b')))"
    assert run([python, "-I", "-c", write], tmp_path).returncode == 0
    read = "import pickle; print(pickle.load(open('p', 'rb')).code)"
    assert run([python, "-I", "-c", read], tmp_path).stdout == "a\n"


def test_an_installation_verifies_itself_and_names_what_was_changed(python: Path, xnode: Installed) -> None:
    clean = xnode("version", "--verify").stdout
    assert "files of xnode are as released" in clean and "nobody signed" in clean
    (package,) = python.parent.parent.glob("lib/python3*/site-packages/xnode")
    module = package / "metering" / "receipt.py"
    before = module.read_bytes()
    module.write_bytes(before + b"\n")
    try:
        assert "changed: metering/receipt.py" in xnode("version", "--verify", code=1).stdout
    finally:
        module.write_bytes(before)
    (library,) = package.parent.glob("trio/_version.py")
    version = library.read_bytes()
    library.write_bytes(version + b"\n")
    try:
        assert "trio/_version.py is changed" in xnode("version", "--verify", code=1).stdout
    finally:
        library.write_bytes(version)


@needs_openssh
def test_a_signed_wheel_says_who_signed_it(wheel: Path, tmp_path: Path) -> None:
    key, signature = Key(tmp_path), tmp_path / "manifest.sig"
    signature.write_text(sign(read_manifest(wheel), key.file))
    python = install(build(tmp_path, {SIGNATURE_VARIABLE: str(signature)}), tmp_path)
    for name, text in {"ours": f"releases {key.public}\n", "theirs": "# nobody\n"}.items():
        (tmp_path / name).write_text(text)
    xnode = Installed(python, tmp_path)
    assert "by releases (SHA256:" in xnode("version", "--verify", "--signers", "ours").stdout
    assert "not among those who may sign" in xnode("version", "--verify", "--signers", "theirs", code=1).stdout


def test_an_installation_says_where_its_constraints_are(xnode: Installed) -> None:
    assert Path(xnode("version", "--constraints").stdout.strip()).read_text() == make_constraints(ROOT)


def test_the_base_brings_no_extra(python: Path, tmp_path: Path) -> None:
    code = "from xnode.extras import EXTRAS, has_module; print([name for name in EXTRAS if has_module(name)])"
    assert run([python, "-I", "-c", code], tmp_path).stdout == "[]\n"


def test_every_command_shows_its_help(python: Path, tmp_path: Path) -> None:
    done = run([python, "-I", "-c", WALK], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SHOWN") > 50 and "site-packages" not in done.stdout


def test_the_first_commands_of_both_sides_work(xnode: Installed) -> None:
    xnode("wallet", "new", "--password-file", "pw")
    assert "wallet" in xnode("wallet", "ls").stdout
    xnode("job", "init")
    xnode("chain", "views", "escrow")
    assert "image" in xnode("job", "validate", "job.yaml", code=2).stderr
    assert "python" in xnode("doctor", code=1).stdout


@pytest.mark.parametrize("words", [("provider", "init"), ("daemon", "init")])
def test_a_bogus_manifest_is_told_in_one_line(xnode: Installed, words: tuple[str, str]) -> None:
    xnode("wallet", "new", "--password-file", "pw")
    (xnode.folder / "manifest.toml").write_text("nonsense")
    said = xnode(*words, "--chain", "manifest.toml", code=2).stderr.splitlines()
    assert [line.partition(":")[0] for line in said] == ["error", "hint"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("chain call escrow free 0x00 0x00", 'hint: pip install "xnode[chain-call]"'),
        ("provider self-test --class cpu=1", 'hint: pip install "xnode[capacity]"'),
        ("provider capacity request --class cpu=1", 'hint: pip install "xnode[capacity]"'),
        ("provider verifier enlist", 'hint: pip install "xnode[capacity]"'),
    ],
)
def test_a_command_says_which_extra_it_lacks(xnode: Installed, words: str, hint: str) -> None:
    assert xnode(*words.split(), code=1).stderr.splitlines()[-1] == hint


def test_a_postgres_url_says_which_extra_it_lacks(python: Path, tmp_path: Path) -> None:
    code = "from xnode.store.database import open_database; open_database('postgresql+psycopg://u:secret@h/d')"
    last = run([python, "-I", "-c", code], tmp_path).stderr.splitlines()[-1]
    assert (
        last.endswith('needs psycopg, which is not installed; pip install "xnode[postgres]"') and "secret" not in last
    )


def test_a_devnet_says_how_to_get_its_chain(xnode: Installed) -> None:
    said = xnode("devnet", "up", "--port", "0", code=4, env={"PATH": str(xnode.folder)}).stderr
    assert VARIABLE in said and "site-packages" not in said and "make " not in said


@pytest.mark.chain
def test_a_devnet_runs_with_an_anvil_that_is_named(xnode: Installed) -> None:
    process = subprocess.Popen(
        [xnode.python.with_name("xnode"), "devnet", "up", "--port", "0"],
        env={"PATH": os.environ["PATH"], **xnode.env, VARIABLE: str(find_anvil())},
        cwd=xnode.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = [process.stderr.readline() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=DEADLINE_S)[1]
    assert "Ctrl-C" in said[-1] and process.returncode == 0, [*said, rest]
