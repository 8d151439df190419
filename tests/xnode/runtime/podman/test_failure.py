"""A start that can never work says at once why; one that may work later is tried again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.xnode.runtime.conftest import Bench
from xnode.errors import Permanent, Retryable
from xnode.node.blame import JOBS_OWN
from xnode.runtime.lease.stored_image import StoredImage
from xnode.runtime.podman.failure import make_failure

RECORDED = {
    "Error: xnode: executable file `nosuch` not found in $PATH: No such file or directory: OCI runtime attempted to "
    "invoke a command that was not found": (
        127,
        "executable file `nosuch` not found in $PATH: No such file or directory",
    ),
    "Error: xnode: open executable: Permission denied: OCI permission denied": (
        126,
        "open executable: Permission denied",
    ),
    "Error: xnode: open executable: Operation not permitted: OCI permission denied": (
        126,
        "open executable: Operation not permitted",
    ),
    'Error: workdir "/nosuch" does not exist on container 7da152': (126, 'workdir "/nosuch" does not exist'),
    "Error: unable to find user nosuch: no matching entries in passwd file": (126, "unable to find user nosuch"),
    "Error: unable to find group nogrp: no matching entries in group file": (126, "unable to find group nogrp"),
    "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=0": (126, "unresolvable CDI devices"),
    "Error: xnode: executable file `timeout` not found in $PATH: No such file or directory: OCI runtime attempted to "
    "invoke a command that was not found": (127, "executable file `timeout` not found"),
}
"""What podman 4.3 with crun 1.8 says, and with which status."""


@pytest.mark.parametrize("said", RECORDED)
def test_fault_of_the_job_is_permanent_and_gives_the_engines_reason(said: str) -> None:
    status, reason = RECORDED[said]
    fault = make_failure("lease 1", status, f"time=... level=warning\n{said}\n".encode(), 0)
    assert isinstance(fault, Permanent) and reason in str(fault) and fault.hint
    assert "OCI" not in str(fault) and "Error:" not in str(fault)
    # A command that is not in the image is not there at any other provider; a GPU that is not set up may be.
    assert (fault.reason_code in JOBS_OWN) != ("CDI" in said)


def test_submitter_is_told_what_is_wrong_with_its_job_and_of_the_host_only_that_something_is() -> None:
    for said, (status, _reason) in RECORDED.items():
        fault = make_failure("the container did not start", status, said.encode(), 0)
        assert isinstance(fault, Permanent)
        if fault.reason_code in JOBS_OWN:
            assert fault.hint in fault.told and "OCI" not in fault.told
        else:
            assert "CDI" not in fault.told and "log" in fault.told


def test_same_fault_of_two_hosts_is_told_alike_and_another_is_not() -> None:
    def tell(said: bytes) -> str:
        fault = make_failure("the container did not start", 125, said, 9)
        assert isinstance(fault, Permanent)
        return fault.told

    assert tell(b"Error: statfs /srv: gone") == tell(b"Error: statfs /srv: gone") != tell(b"Error: statfs /opt: gone")
    assert "/srv" not in tell(b"Error: statfs /srv: gone")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (126, "Error: xnode: write /sys/fs/cgroup/x: Device or resource busy: OCI runtime error"),
        (125, "Error: fork/exec: resource temporarily unavailable"),
        (125, "Error: mounting storage: no space left on device"),
        (125, "Error: container create failed: conmon exited prematurely"),
    ],
)
def test_fault_of_the_hosts_load_is_tried_again(status: int, said: str) -> None:
    for same_before in range(10):
        assert isinstance(make_failure("lease 1", status, said.encode(), same_before), Retryable)


def test_unknown_fault_is_permanent_when_it_comes_three_times() -> None:
    faults = [make_failure("lease 1", 125, b"Error: statfs /nosuch: no such file or directory", n) for n in range(3)]
    assert [type(fault) for fault in faults] == [Retryable, Retryable, Permanent]


def test_image_for_another_machine_is_refused_before_anything_is_made() -> None:
    image = StoredImage("id", architecture="arm64")
    with pytest.raises(Permanent, match="the image is for arm64, this host is amd64"):
        image.check("x86_64")
    image.check("aarch64")
    StoredImage("id").check("x86_64")


@pytest.mark.engine
async def test_each_start_that_cannot_work_fails_in_one_try(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo never\n")
    spec = bench.spec("true", inputs=(("script", script),))
    cases = {("nosuch",): "not found", ("/work/in/script",): "Permission denied", ("/work/in",): "not permitted"}
    for command, reason in cases.items():
        with pytest.raises(Permanent, match=reason):
            await bench.engine.start(replace(spec, command=command))
    assert (await bench.engine.inspect(spec.lease_id)).status == "created"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"User": "nosuch"}, "unable to find user nosuch"),
        ({"User": "1000:nosuch"}, "unable to find group nosuch"),
        ({"WorkingDir": "/bin/sh"}, "is not a directory"),
    ],
)
async def test_image_that_cannot_start_is_told_why(bench: Bench, config: dict[str, Any], reason: str) -> None:
    await bench.use_image(**config)
    with pytest.raises(Permanent, match=reason):
        await bench.engine.start(bench.spec("true"))


@pytest.mark.engine
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not a program", "exec container process `/srv/run`: Exec format error"),
        (
            "#!/no/such/shell\n",
            "exec container process (missing dynamic library?) `/srv/run`: No such file or directory",
        ),
    ],
)
async def test_program_that_the_kernel_will_not_run_is_told_with_the_end(
    bench: Bench, content: str, reason: str
) -> None:
    await bench.use_image({"srv/run": content})
    spec = replace(bench.spec("true"), command=("/srv/run",))
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    state = await bench.engine.inspect(spec.lease_id)
    assert state.exit_code and state.fault == reason


@pytest.mark.engine
async def test_exit_of_a_program_that_ran_is_no_fault_of_its_start(bench: Bench) -> None:
    spec = bench.spec("echo 'sh: nosuch: not found'; exit 127")
    await bench.engine.start(spec)
    await bench.engine.wait(spec.lease_id)
    assert (await bench.engine.inspect(spec.lease_id)).fault == ""
