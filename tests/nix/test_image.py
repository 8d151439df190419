"""xnodeOS: verified and read-only, in two slots, and back by itself from a version in which the node does not come up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.make.nix import Nix

EXAMPLE = "self.nixosConfigurations.example.config"


@pytest.fixture(scope="module")
def host(nix: Nix) -> dict[str, Any]:
    """The example's configuration, whole, without what is built of it."""
    found: dict[str, Any] = nix.evaluate(f'builtins.removeAttrs {EXAMPLE} [ "system" ]')
    return found


def test_the_image_and_the_update_are_computed_whole(nix: Nix) -> None:
    for name in ("toplevel", "finalImage", "update"):
        assert nix.evaluate(f"{EXAMPLE}.system.build.{name}.drvPath")


def test_nothing_lasts_but_the_state_and_nothing_of_the_system_can_be_written(host: dict[str, Any]) -> None:
    mounts = host["fileSystems"]
    assert mounts["/"]["fsType"] == "tmpfs"
    assert mounts["/usr"]["device"] == "/dev/mapper/usr" and "ro" in mounts["/usr"]["options"]
    assert mounts["/nix/store"]["device"] == "/usr/nix/store" and "ro" in mounts["/nix/store"]["options"]
    lasting = {path for path, mount in mounts.items() if mount["device"].startswith("/dev/disk/")}
    assert lasting == {"/var", "/boot"} and host["image"]["repart"]["verityStore"]["enable"]
    assert not host["nix"]["enable"] and not host["users"]["mutableUsers"]


def test_both_slots_are_of_one_size_and_the_other_is_empty(host: dict[str, Any]) -> None:
    ids = host["image"]["repart"]["verityStore"]["partitionIds"]
    parts = {name: part["repartConfig"] for name, part in host["image"]["repart"]["partitions"].items()}
    for this, other in ((ids["store"], "40-other-system"), (ids["store-verity"], "30-other-hashes")):
        assert parts[this]["SizeMinBytes"] == parts[this]["SizeMaxBytes"] == parts[other]["SizeMaxBytes"]
        assert parts[other]["SizeMinBytes"] == parts[other]["SizeMaxBytes"] and parts[other]["Label"] == "_empty"
    assert sorted(parts)[-1] == "50-state", "the last partition is the one that can grow"


def test_an_update_goes_into_the_other_slot_and_its_entry_comes_last(host: dict[str, Any]) -> None:
    transfers = host["systemd"]["sysupdate"]["transfers"]
    assert sorted(transfers) == ["10-hashes", "20-system", "30-entry"]
    entry = transfers["30-entry"]["Target"]
    assert entry["TriesLeft"] == 3 and entry["Path"] == "/EFI/Linux"
    for one in transfers.values():
        assert one["Target"]["InstancesMax"] == 2 and one["Transfer"]["ProtectVersion"] == "%A"


def test_an_update_has_the_names_that_the_transfers_look_for(nix: Nix, host: dict[str, Any]) -> None:
    commands = nix.evaluate(f"{EXAMPLE}.system.build.update.commands")
    version = nix.evaluate(f"{EXAMPLE}.xnodeos.version")
    for one in host["systemd"]["sysupdate"]["transfers"].values():
        (pattern,) = one["Source"]["MatchPattern"]
        before, _, after = pattern.replace("@v", version).partition("@u")
        assert f"$out/{before}" in commands and commands.count(after)


def test_a_boot_counts_once_the_node_is_healthy(host: dict[str, Any]) -> None:
    healthy = host["systemd"]["services"]["xnodeos-healthy"]
    assert healthy["requiredBy"] == ["boot-complete.target"] == healthy["before"]
    assert healthy["serviceConfig"]["ExecStart"].endswith("xnode-healthy")
    assert healthy["serviceConfig"]["ExecStartPost"].endswith(" settled")


def test_only_a_version_on_trial_is_asked(host: dict[str, Any]) -> None:
    """A chain that cannot be reached is no reason to restart a host that has come up before: only a boot that is counted has
    boot-complete.target in it."""
    assert host["systemd"]["services"]["xnodeos-healthy"]["wantedBy"] == []


def test_the_database_is_kept_before_the_node_starts(host: dict[str, Any]) -> None:
    keep = host["systemd"]["services"]["xnodeos-keep-state"]
    assert keep["before"] == ["xnode.service"] == keep["requiredBy"]
    assert keep["serviceConfig"]["ExecStart"].endswith(f"/var/lib/xnode {host['xnodeos']['version']}")


def test_no_update_begins_by_itself(host: dict[str, Any]) -> None:
    assert not host["systemd"]["timers"]["systemd-sysupdate"]["enable"]


def test_updates_from_the_network_are_signed(nix: Nix) -> None:
    make = """(self.lib.xnodeos {
      settings = import ./nix/example-settings.nix;
      modules = [ { xnodeos.update.url = "https://example.org/"; } ];
    }).config.systemd.sysupdate.transfers"""
    for one in nix.evaluate(make).values():
        assert one["Transfer"]["Verify"] == "yes" and one["Source"]["Type"] == "url-file"


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ('xnodeos.version = "1_2";', "xnodeos.version is 1_2: it is part of file names"),
        ("services.xnode.enable = lib.mkForce false;", "services.xnode.enable is off: xnodeOS runs nothing else."),
        ("xnodeos.slots = 3;", "The option `xnodeos.slots' does not exist."),
        ("xnodeos.slotSize = 4;", "`xnodeos.slotSize' is not of type `string'"),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(nix: Nix, module: str, sentence: str) -> None:
    host = f"""(self.lib.xnodeos {{
      settings = import ./nix/example-settings.nix;
      modules = [ {{ {module} }} ];
    }}).config.system.build.toplevel.drvPath"""
    assert sentence in " ".join(nix.find_refusal(host).split())
