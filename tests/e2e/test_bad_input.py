"""What people and hosts get wrong: one clear line, the right exit code, no traceback, and nothing lost."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from examples.localnet import Node
from images.oci import write_layout
from tests.e2e.market import Market
from xnode.config.file import read_table, write_config
from xnode.errors import ExitCode
from xnode.home import Home

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]


def check_refused(done: CompletedProcess[str], code: ExitCode, *words: str) -> None:
    """It ended with the code, and its last line says what is wrong."""
    said = done.stderr.strip()
    assert "Traceback" not in done.stdout + said
    assert "bug in xnode" not in said
    assert done.returncode == code, said
    errors = [line for line in said.splitlines() if line.startswith("error:")] or said.splitlines()[-1:]
    hints = " ".join(line for line in said.splitlines() if line.startswith("hint:"))
    assert len(errors) == 1, said
    for word in words:
        assert word in f"{errors[0]} {hints}", said


# ------------------------------------------------------------------------------------------------------------ the job


def submit(market: Market, path: Path) -> CompletedProcess[str]:
    """`xnode job submit --yes FILE`; nothing may have been placed."""
    jobs = market.submitter.control.call("job.list")["total"]
    done = market.run("job", "submit", "--yes", str(path))
    assert market.submitter.control.call("job.list")["total"] == jobs
    return done


def change_job(market: Market, name: str, old: str, new: str) -> Path:
    """A job file with one thing wrong in it."""
    path = market.write_job(seconds=1, name=name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_malformed_job_file_is_named_with_its_line(market: Market) -> None:
    path = change_job(market, "malformed", "vcpus: 0.2", "vcpus: many")
    check_refused(submit(market, path), ExitCode.USAGE, "malformed.yaml:5", "vcpus", "many")


def test_a_job_without_its_image_says_where_it_looked(market: Market) -> None:
    path = change_job(market, "nowhere", f"oci:{market.image}", "oci:nowhere")
    check_refused(submit(market, path), ExitCode.USAGE, "nowhere", "was not found")


def test_a_job_without_an_input_says_which(market: Market) -> None:
    path = change_job(market, "inputless", "lines.py: lines.py", "lines.py: absent.py")
    check_refused(submit(market, path), ExitCode.USAGE, "absent.py")


@pytest.fixture
def layout(market: Market) -> Path:
    """An image that no provider has seen before."""
    folder = market.net.folder / "jobs" / "layout"
    shutil.rmtree(folder, ignore_errors=True)
    write_layout(folder, io.BytesIO(bytes(10240)), {"Cmd": ["none"]})
    return folder


def find_layer(layout: Path) -> Path:
    """The blob that is compressed."""
    return next(path for path in layout.glob("blobs/sha256/*") if path.read_bytes()[:2] == b"\x1f\x8b")


def test_an_image_with_a_changed_layer_is_refused(market: Market, layout: Path) -> None:
    layer = find_layer(layout)
    layer.write_bytes(layer.read_bytes()[:-1] + b"!")
    path = change_job(market, "changed", f"oci:{market.image}", f"oci:{layout}")
    check_refused(submit(market, path), ExitCode.USAGE, layer.name, "digest")


def test_an_image_without_one_of_its_blobs_is_refused(market: Market, layout: Path) -> None:
    layer = find_layer(layout)
    layer.unlink()
    path = change_job(market, "missing", f"oci:{market.image}", f"oci:{layout}")
    check_refused(submit(market, path), ExitCode.FAILED, layer.name)


def test_a_job_too_big_for_any_offer_is_told_every_reason(market: Market) -> None:
    market.find_offers()
    path = change_job(market, "big", "vcpus: 0.2, memory: 64MiB", "vcpus: 900, memory: 900GiB")
    plan = market.run("job", "plan", str(path))
    assert plan.returncode == ExitCode.NO_MATCH
    assert "vcpu" in plan.stdout.lower()
    assert "memory" in plan.stdout.lower()
    done = market.run("job", "submit", "--follow", "--yes", str(path))
    assert done.returncode == ExitCode.NO_MATCH, done.stderr
    assert "no_match" in done.stderr


def test_an_unknown_job_is_not_found(market: Market) -> None:
    check_refused(market.run("job", "show", "0xffffffff"), ExitCode.NOT_FOUND, "0xffffffff")


def test_a_submitter_without_a_deposit_is_told_to_make_one(market: Market) -> None:
    penniless = market.open_account("penniless", "")
    penniless.find_offers()
    done = penniless.run("job", "submit", "--follow", "--yes", str(penniless.write_job(seconds=1)))
    assert done.returncode == ExitCode.FUNDS, done.stderr
    assert "deposit" in done.stderr


# ----------------------------------------------------------------------------------------------------------- the host


@pytest.fixture
def spare(market: Market) -> Iterator[Node]:
    """A submitter's home, set up and not running."""
    home = Home(market.net.folder / "spare")
    home.make()
    source = market.submitter.home
    shutil.copytree(source.keystore, home.keystore)
    for name in ("config.toml", "node-key.json", "node.password"):
        shutil.copy2(source.folder / name, home.folder / name)
    set_node(home, bootstrap=[], listen=["/ip4/127.0.0.1/tcp/0"])
    yield Node("spare", home, ("daemon", "run"))
    shutil.rmtree(home.folder)


def set_node(home: Home, **settings: object) -> None:
    """Change the [node] section."""
    table = read_table(home)
    write_config(home, {**table, "node": {**table.get("node", {}), **settings}})


def run_daemon(market: Market, node: Node) -> CompletedProcess[str]:
    """The daemon, which must end without being stopped."""
    return market.net.run(*node.command, home=node.home, check=False)


def test_a_wrong_password_of_the_node_key_ends_the_start(market: Market, spare: Node) -> None:
    spare.home.password.write_text("wrong\n")
    check_refused(run_daemon(market, spare), ExitCode.REFUSED, "wrong password")


def test_a_wrong_wallet_password_moves_no_money(market: Market, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong\n")
    before = market.read_money()
    check_refused(market.run("pay", "deposit", "1", "--password-file", str(wrong)), ExitCode.REFUSED, "wrong password")
    assert market.read_money() == before


def test_a_busy_port_ends_the_start(market: Market, spare: Node) -> None:
    (busy,) = read_table(market.provider.home)["node"]["listen"]
    set_node(spare.home, listen=[busy])
    check_refused(run_daemon(market, spare), ExitCode.FAILED, busy.rpartition("/")[2])


def test_a_chain_of_another_id_ends_the_start(market: Market, spare: Node) -> None:
    manifest = spare.home.folder / "manifest.toml"
    manifest.write_text(market.net.manifest.read_text().replace("chain_id = 31337", "chain_id = 31338"))
    table = read_table(spare.home)
    write_config(spare.home, {**table, "chain": {**table["chain"], "manifest": str(manifest)}})
    check_refused(run_daemon(market, spare), ExitCode.FAILED, "31337", "31338")


def test_without_a_chain_the_node_is_up_and_says_so(market: Market, spare: Node) -> None:
    table = read_table(spare.home)
    write_config(spare.home, {**table, "chain": {**table["chain"], "rpc_url": "http://127.0.0.1:9"}})
    market.net.start(spare)
    try:
        assert "127.0.0.1:9" in spare.control.call("node.status")["ready"]["chain"]
    finally:
        market.net.stop(spare)
    balance = market.net.run("pay", "balance", home=spare.home, check=False)
    check_refused(balance, ExitCode.UNREACHABLE, "127.0.0.1:9")


@contextmanager
def tiny_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system that soon fills up."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def test_a_full_disk_refuses_the_job_and_the_node_lives_on(market: Market, spare: Node) -> None:
    with tiny_disk(spare.home.folder / "data", "4m"):
        market.net.start(spare)
        try:
            path = market.write_job(seconds=1, name="full")
            done = market.net.run("job", "submit", "--yes", str(path), home=spare.home, check=False)
            check_refused(done, ExitCode.REFUSED, "nearly full", "free")
            assert spare.control.call("job.list")["rows"] == []
            status = spare.control.call("node.status")
            assert "nearly full" in status["ready"]["disk"] and status["disk"]["free"] < 5_000_000
        finally:
            market.net.stop(spare)


def test_a_full_disk_ends_the_start_with_one_line(market: Market, spare: Node) -> None:
    with tiny_disk(spare.home.folder / "data", "16k"):
        check_refused(run_daemon(market, spare), ExitCode.FAILED, "xnode.db", "free space")


WITHOUT_PODMAN = """
mkdir "$1/all" "$1/some" && mount --bind /usr/bin "$1/all"
for program in "$1"/all/*; do ln -s "$program" "$1/some/"; done
rm "$1/some/podman" && mount --bind "$1/some" /usr/bin
shift && exec "$@"
"""


def test_a_provider_without_podman_is_told_to_install_it(market: Market, tmp_path: Path) -> None:
    market.net.stop(market.provider)
    inside = ("unshare", "--mount", "sh", "-ec", WITHOUT_PODMAN, "sh", str(tmp_path))
    done = market.net.run("provider", "run", home=market.provider.home, check=False, inside=inside)
    check_refused(done, ExitCode.FAILED, "podman", "install")
