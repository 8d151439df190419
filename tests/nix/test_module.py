"""services.xnode: the unit and the settings that it makes, and what it refuses, each with a sentence.

`python -m tests.nix.test_module` keeps the units as they are now.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.make.nix import ROOT, Nix, make_nix, render_unit
from xnode import __version__
from xnode.config.load import load_config
from xnode.home import Home

KEPT = Path(__file__).parent / "kept"


def make_provider(more: str = "") -> str:
    """Settings of services.xnode: those of the example, and more."""
    return f"settings = lib.mkMerge [ (import ./nix/example-settings.nix) {{ {more} }} ];"


def make_submitter(more: str = "") -> str:
    return f"""role = "submitter"; settings = {{ chain.manifest = "/srv/manifest.toml"; {more} }};"""


PROVIDER, SUBMITTER = make_provider(), make_submitter("node.dht = false;")

SECRETS = """
passwordFile = "/run/keys/node.password"; nodeKeyFile = "/run/keys/node-key.json"; environmentFile = "/run/keys/env";
walletFile = "/run/keys/wallet.json"; walletPasswordFile = "/run/keys/wallet.password";
"""

MOUNT_NAMESPACE = re.compile(
    r"^(Protect(System|Home|Proc|KernelTunables|KernelModules|KernelLogs|ControlGroups|Hostname)|Private(Tmp|Devices|Mounts)"
    r"|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec)Paths|Bind(ReadOnly)?Paths|TemporaryFileSystem|MountAPIVFS|RootDirectory"
    r"|RootImage|MountImages|ExtensionImages|ExtensionDirectories|DynamicUser|MountFlags)$"
)
"""Options of a unit that give it a mount namespace of its own: systemd.exec(5)."""


def make_host(services: str, more: str = "", enable: str = "true") -> str:
    """An expression: the config of a host with services.xnode set so."""
    return f"""(lib.nixosSystem {{
      system = "x86_64-linux";
      modules = [ self.nixosModules.default {{
        services.xnode = {{ enable = {enable}; {services} }};
        {more}
      }} ];
    }}).config"""


def make_text(nix: Nix, unit: str, services: str) -> str:
    """A unit of that host, with the store's hashes out of it."""
    text = render_unit(nix.evaluate(f"{make_host(services)}.systemd.services.{unit}"))
    return re.sub(rf"{re.escape(str(nix.store))}/[a-z0-9]{{32}}-", "/nix/store/", text)


# ------------------------------------------------------------------------------------------------------------ accepted


@pytest.mark.parametrize(
    "services", [PROVIDER, SUBMITTER, PROVIDER + SECRETS], ids=["provider", "submitter", "secrets"]
)
def test_a_whole_configuration_is_accepted(nix: Nix, services: str) -> None:
    """toplevel has all of it inside, so that what nobody asks for is computed too."""
    assert nix.evaluate(f"{make_host(services)}.system.build.toplevel.drvPath")


UNITS = {
    "provider": ("xnode", PROVIDER),
    "submitter": ("xnode", SUBMITTER),
    "secrets": ("xnode", PROVIDER + SECRETS),
    "register": ("xnode-register", PROVIDER + SECRETS),
}


def make_kept(nix: Nix, name: str) -> str:
    """The unit, but for the version: a release changes none of it."""
    return make_text(nix, *UNITS[name]).replace(f"/xnode-{__version__}/", "/xnode-VERSION/")


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_as_it_is_kept(nix: Nix, name: str) -> None:
    """A change of a unit is a change of tests/nix/kept, which a reader sees."""
    assert make_kept(nix, name) == (KEPT / f"{name}.service").read_text()


@pytest.mark.parametrize(("role", "services"), [("provider", PROVIDER), ("submitter", SUBMITTER)])
def test_the_unit_does_what_the_shipped_one_does(nix: Nix, role: str, services: str) -> None:
    shipped = ROOT / "xnode" / "install" / {"provider": "xnode.service", "submitter": "submitter.service"}[role]
    ours, theirs = read_options(make_text(nix, "xnode", services)), read_options(shipped.read_text())
    for key in NAMED_ELSEWHERE:
        ours.pop(key, None), theirs.pop(key, None)
    assert ours == theirs


NAMED_ELSEWHERE = (
    "Description", "Environment", "ExecStart", "ExecReload", "LoadCredential", "User", "Group", "StateDirectory",
    "StateDirectoryMode",
)  # fmt: skip
"""What each says in its own way: which program, which files, who."""


def read_options(text: str) -> dict[str, str]:
    """The options of a unit's file; yes and true are one, and so are an empty list and none."""
    pairs = [line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z][A-Za-z]+=", line)]
    same = {"true": "yes", "false": "no"}
    return {key: same.get(value, value) for key, value in pairs}


@pytest.mark.parametrize("services", [PROVIDER + SECRETS, SUBMITTER])
def test_no_option_gives_a_unit_a_mount_namespace(nix: Nix, services: str) -> None:
    """The disks of leases are mounts: in the unit's own namespace they would be gone for the daemon after this one."""
    for unit in ("xnode", "xnode-register") if "wallet" in services else ("xnode",):
        assert not [key for key in read_options(make_text(nix, unit, services)) if MOUNT_NAMESPACE.match(key)]


@pytest.mark.parametrize(("role", "services"), [("provider", PROVIDER), ("submitter", SUBMITTER)])
def test_the_settings_are_ones_that_the_node_accepts(nix: Nix, tmp_path: Path, role: str, services: str) -> None:
    host = make_host(f"{services} checkSettings = false;")
    (tmp_path / "config.toml").write_text(nix.evaluate(f'{host}.environment.etc."xnode/config.toml".source.text'))
    config = load_config(Home(tmp_path))
    assert (config.provider is not None) == (role == "provider")
    if config.provider:
        assert config.provider.region == "eu-west" and config.provider.share.vcpus == 2.0
        assert config.node.listen == ("/ip4/0.0.0.0/tcp/4001",)
    else:
        assert not config.node.dht and config.chain.manifest == Path("/srv/manifest.toml")


def test_a_wrong_setting_fails_the_build(nix: Nix) -> None:
    commands = nix.evaluate(f'{make_host(PROVIDER)}.environment.etc."xnode/config.toml".source.commands')
    assert re.search(r"/bin/xnode config check \S+-xnode-config\.toml\n", commands)


def test_every_kind_of_value_comes_through_as_toml(nix: Nix) -> None:
    value = {
        "a": {"s": 'q"\\ \n', "f": 1.5, "n": 3, "y": True, "l": ["x", 1], "deep": {"odd key": "é", "t": [{"u": 1}]}}
    }
    written = json.dumps(json.dumps(value)).replace("$", "\\$")
    toml = "(nixpkgs.legacyPackages.x86_64-linux.formats.toml { })"
    assert tomllib.loads(nix.evaluate(f'({toml}.generate "x" (builtins.fromJSON {written})).text')) == value


def test_the_firewall_opens_what_others_dial(nix: Nix) -> None:
    addresses = (
        "/ip4/0.0.0.0/tcp/4001",
        "/ip6/::/tcp/4001",
        "/ip4/127.0.0.1/tcp/4002",
        "/ip6/::1/tcp/4003",
        "/ip4/0.0.0.0/tcp/0",
    )
    services = make_submitter(f"node.listen = [ {' '.join(json.dumps(one) for one in addresses)} ];")
    ports = "networking.firewall.allowedTCPPorts"
    assert nix.evaluate(f"{make_host(services + ' openFirewall = true;')}.{ports}") == [4001]
    assert nix.evaluate(f"{make_host(services)}.{ports}") == []


def test_the_wallet_is_given_to_the_unit_that_registers_and_to_no_other(nix: Nix) -> None:
    assert "wallet" in make_text(nix, "xnode-register", PROVIDER + SECRETS)
    assert "wallet" not in make_text(nix, "xnode", PROVIDER + SECRETS)


def test_gpus_come_by_the_container_toolkit(nix: Nix) -> None:
    host = make_host(PROVIDER + ' gpus = "nvidia";')
    assert nix.evaluate(f"{host}.hardware.nvidia-container-toolkit.enable")
    unit = nix.evaluate(f"{host}.systemd.services.xnode")
    assert "nvidia-container-toolkit-cdi-generator.service" in unit["after"]
    assert not nix.evaluate(f"{make_host(PROVIDER)}.hardware.nvidia-container-toolkit.enable")


def test_a_node_that_is_off_changes_nothing(nix: Nix) -> None:
    host = make_host(PROVIDER, enable="false")
    found = nix.evaluate(f"{{ inherit ({host}) users boot; inherit ({host}.systemd) services; }}")
    assert found["users"]["users"] == {} == found["services"] and found["boot"]["kernelModules"] == []


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("services", "sentence"),
    [
        ('role = "verifier";', "`services.xnode.role' is not of type `one of \"provider\", \"submitter\"'"),
        ("setting = { };", "The option `services.xnode.setting' does not exist."),
        ("settings = { };", "settings.chain.manifest is missing: it says which contracts this node settles on."),
        ("settings.chain = { };", "settings.chain.manifest is missing: it says which contracts this node settles on."),
        (
            'settings.chain.manifest = "/m";',
            "settings.provider is missing: a provider has an owner, a region, prices and a share.",
        ),
        (
            'settings.chain.manifest = "/m"; settings.provider.region = "eu";',
            "settings.provider lacks owner, prices, share.",
        ),
        (f'{PROVIDER} role = "submitter";', 'settings.provider is set, and services.xnode.role is "submitter", which sells'),
        (make_provider("node.listen = null;"), "`services.xnode.settings.node.listen' is not of type"),
        (make_provider('node.http = "";'), "`services.xnode.settings.node.http' has conflicting definition values"),
        (f"{PROVIDER} passwordFile = ./nix/package.nix;", "`services.xnode.passwordFile' is not of type `null or string'"),
        (
            f'{PROVIDER} passwordFile = builtins.toFile "password" "secret";',
            "services.xnode.passwordFile is in the store, which everybody on the host can read: name a file outside of it.",
        ),
        (f'{PROVIDER} nodeKeyFile = "${{builtins.storeDir}}/key";', "services.xnode.nodeKeyFile is in the store"),
        (f'{PROVIDER} environmentFile = "${{builtins.storeDir}}/env";', "services.xnode.environmentFile is in the store"),
        (
            f'{PROVIDER} walletFile = "${{builtins.storeDir}}/w"; walletPasswordFile = "/p";',
            "services.xnode.walletFile is in the store",
        ),
        (f'{PROVIDER} walletFile = "/w";', "services.xnode.walletFile and services.xnode.walletPasswordFile are given"),
        (f'{SUBMITTER} walletFile = "/w"; walletPasswordFile = "/p";', "services.xnode.walletFile registers a provider"),
        (f"{SUBMITTER} openFirewall = true;", "services.xnode.openFirewall has no port to open"),
        (
            make_submitter('node.database_url = "postgresql+psycopg://xnode:secret@db/xnode";'),
            "services.xnode.settings.node.database_url has a password, and everybody on the host can read the store",
        ),
        (
            make_submitter('node.password_file = "/p";') + ' passwordFile = "/q";',
            "services.xnode.passwordFile and services.xnode.settings.node.password_file both name the password: keep one.",
        ),
        (
            make_provider("provider.share.gpus = 1;"),
            'settings.provider.share.gpus offers GPUs: set services.xnode.gpus to "nvidia" or "amd".',
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_a_sentence(nix: Nix, services: str, sentence: str) -> None:
    said = " ".join(nix.find_refusal(f"{make_host(services)}.system.build.toplevel.drvPath").split())
    assert sentence in said


def test_an_option_of_the_system_that_is_misspelt_is_refused(nix: Nix) -> None:
    host = make_host(PROVIDER, "networking.firewall.allowedTCPPort = [ 1 ];")
    said = nix.find_refusal(f"{host}.system.build.toplevel.drvPath")
    assert "The option `networking.firewall.allowedTCPPort' does not exist." in said


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        for name in UNITS:
            (KEPT / f"{name}.service").write_text(make_kept(make_nix(Path(folder, name)), name))
