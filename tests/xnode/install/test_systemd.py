"""Where a unit goes, and what is left alone there: on a root in a folder, as for an image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xnode.errors import ExitCode, UserError
from xnode.install.systemd import KEPT, Manager, call_systemctl, find_manager, is_active, remove_unit, write_unit
from xnode.install.unit import Standing, UnitPlan, make_unit

TEXT = make_unit(UnitPlan("provider", "/usr/bin/xnode", "/var/lib/xnode"))
NEXT = make_unit(UnitPlan("provider", "/opt/xnode/bin/xnode", "/var/lib/xnode"))


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    return find_manager(tmp_path, is_users_own=False)


def list_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


@contextmanager
def refusing(what: str) -> Iterator[None]:
    with pytest.raises(UserError, match=what) as caught:
        yield
    assert caught.value.code == ExitCode.CONFLICT and caught.value.hint


def test_a_unit_is_written_and_enabled_and_written_once(manager: Manager, tmp_path: Path) -> None:
    assert [write_unit(manager, TEXT, force=False) for _ in range(2)] == [Standing.ABSENT, Standing.CURRENT]
    assert list_files(tmp_path) == {
        "etc/systemd/system/xnode.service",
        "etc/systemd/system/multi-user.target.wants/xnode.service",
    }
    assert manager.link.resolve() == manager.unit and manager.unit.read_text() == TEXT
    assert manager.unit.stat().st_mode & 0o777 == 0o644


def test_what_an_earlier_install_wrote_is_brought_up_to_date(manager: Manager) -> None:
    write_unit(manager, TEXT, force=False)
    assert write_unit(manager, NEXT, force=False) is Standing.OUTDATED
    assert manager.unit.read_text() == NEXT


def test_a_unit_that_was_disabled_by_hand_is_enabled_again(manager: Manager) -> None:
    write_unit(manager, TEXT, force=False)
    manager.link.unlink()
    assert write_unit(manager, TEXT, force=False) is Standing.CURRENT
    assert manager.link.exists()


def test_a_unit_that_somebody_changed_is_replaced_only_by_force_and_kept(manager: Manager) -> None:
    write_unit(manager, TEXT, force=False)
    changed = TEXT.replace("RestartSec=5", "RestartSec=1")
    manager.unit.write_text(changed)
    with refusing("somebody changed this unit"):
        write_unit(manager, NEXT, force=False)
    with refusing("somebody changed this unit"):
        remove_unit(manager, force=False)
    assert manager.unit.read_text() == changed and manager.link.exists()
    assert write_unit(manager, NEXT, force=True) is Standing.CHANGED
    assert (manager.unit.read_text(), manager.folder.joinpath(KEPT).read_text()) == (NEXT, changed)


def test_a_link_is_declared_elsewhere_and_never_written_through(manager: Manager, tmp_path: Path) -> None:
    manager.folder.mkdir(parents=True)
    (tmp_path / "declared").write_text("[Service]\n")
    manager.unit.symlink_to(tmp_path / "declared")
    with refusing("it is a link to"):
        write_unit(manager, TEXT, force=True)
    with refusing("it is a link to"):
        remove_unit(manager, force=True)
    assert (tmp_path / "declared").read_text() == "[Service]\n"


def test_a_packages_unit_is_not_hidden_unasked(manager: Manager, tmp_path: Path) -> None:
    packaged = tmp_path / "usr/lib/systemd/system/xnode.service"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("[Service]\n")
    with refusing("a package brought the unit already"):
        write_unit(manager, TEXT, force=False)
    assert not manager.unit.exists()
    assert write_unit(manager, TEXT, force=True) is Standing.ABSENT


def test_a_removed_unit_leaves_nothing(manager: Manager, tmp_path: Path) -> None:
    manager.folder.mkdir(parents=True)
    before = list_files(tmp_path)
    write_unit(manager, TEXT, force=False)
    assert remove_unit(manager, force=False)
    assert list_files(tmp_path) == before and not manager.link.parent.exists()
    assert not remove_unit(manager, force=False)


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")
    with pytest.raises(UserError, match="etc/systemd") as caught:
        write_unit(find_manager(tmp_path, is_users_own=False), TEXT, force=False)
    assert "--dry-run" in caught.value.hint


def test_a_users_own_manager_has_its_units_in_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    manager = find_manager(Path("/"), is_users_own=True)
    assert manager.unit == tmp_path / "systemd/user/xnode.service"
    assert manager.link.parent.name == "default.target.wants" and not manager.is_live


def test_a_root_in_a_folder_has_no_manager_that_runs(tmp_path: Path) -> None:
    assert not find_manager(tmp_path, is_users_own=False).is_live


def put_systemctl(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name, before the system's own."""
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_a_unit_is_active_when_systemctl_says_so(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_systemctl(tmp_path, '[ "$*" = "is-active --quiet xnode.service" ]', monkeypatch)
    assert is_active(manager)
    put_systemctl(tmp_path, "exit 3", monkeypatch)
    assert not is_active(manager)


def test_what_systemctl_refuses_is_one_line(manager: Manager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_systemctl(tmp_path, "echo 'Job for xnode.service failed.' >&2\necho more >&2\nexit 1", monkeypatch)
    with pytest.raises(UserError, match="Job for xnode") as caught:
        call_systemctl(manager, "restart", "xnode.service")
    assert caught.value.sentence == "`systemctl restart xnode.service`: Job for xnode.service failed."
    assert "status xnode" in caught.value.hint
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="not installed"):
        call_systemctl(manager, "daemon-reload")
