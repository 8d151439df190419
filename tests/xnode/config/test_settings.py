"""Settings: file and environment, and errors that say where and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.preferences import MAX_EXPOSURE_INTERVALS, MAX_EXPOSURE_NS, ExposureBound
from xnode.config import settings
from xnode.config.load import load_config
from xnode.errors import ExitCode, UserError
from xnode.home import Home, find_home

OWNER = "0x" + "ab" * 20

PROVIDER = f"""
[chain]
manifest = "chain.json"

[provider]
owner = "{OWNER}"
region = "eu"
interval = "2s"

[provider.prices]
vcpu_hour = "0.02"
memory_gib_hour = "0.005"

[provider.share]
vcpus = 1.5
memory = "2GiB"
disk = "10GiB"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("XNODE_HOME", raising=False)
    return Home(tmp_path)


def _load_error(home: Home, text: str) -> list[str]:
    home.config.write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(home)
    return str(caught.value).replace("\nhint: ", " | hint: ").splitlines()


def test_a_providers_file_is_read_into_numbers(home: Home) -> None:
    home.config.write_text(PROVIDER)
    config = load_config(home)
    assert config.provider is not None
    assert config.provider.owner == bytes.fromhex("ab" * 20)
    assert config.provider.interval_ns == 2_000_000_000
    assert config.provider.share.memory_bytes == 2 << 30
    assert config.provider.prices.gpu_hour == "0"
    assert config.chain.manifest == home.folder / "chain.json"
    assert config.node.data_dir == home.folder / "data"
    assert config.node.database_url == f"sqlite:///{home.folder}/data/xnode.db"
    assert config.node.password_file == home.password


def test_a_promise_is_read_into_millionths(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.config.write_text(PROVIDER)
    provider = load_config(home).provider
    assert provider and provider.sla is None
    home.config.write_text(PROVIDER + "[provider.sla]\navailability = 0.999\nrefund = 0.1\n")
    provider = load_config(home).provider
    assert provider and provider.sla == settings.Sla(availability="0.999", refund="0.1")  # type: ignore[arg-type]
    assert (provider.sla.availability_ppm, provider.sla.refund_ppm) == (999_000, 100_000)
    monkeypatch.setenv("XNODE_PROVIDER__SLA__REFUND", "0.25")
    provider = load_config(home).provider
    assert provider and provider.sla and provider.sla.refund_ppm == 250_000


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1.01", "more than 1"),
        ("0", "remove the section"),
        ('"99%"', "not a fraction"),
        ("0.0000001", "not a fraction"),
    ],
)
def test_a_promise_out_of_range_is_refused(home: Home, value: str, words: str) -> None:
    (line,) = _load_error(home, PROVIDER + f"[provider.sla]\navailability = {value}\nrefund = 0.1\n")
    assert "provider.sla.availability: " in line and words in line


def test_what_a_provider_asks_for_by_default_is_what_a_submitter_accepts_by_default(home: Home) -> None:
    home.config.write_text(PROVIDER.replace('interval = "2s"\n', ""))
    config = load_config(home)
    assert config.provider is not None
    bound = ExposureBound(config.submitter.max_exposure_intervals, config.submitter.max_exposure_ns)
    assert (bound.intervals, bound.time_ns) == (MAX_EXPOSURE_INTERVALS, MAX_EXPOSURE_NS)
    assert (config.provider.exposure_intervals, config.provider.interval_ns) == (12, 5_000_000_000)
    assert bound.find_excess(config.provider.interval_ns, config.provider.exposure_intervals) == ""


def test_a_node_without_a_provider_section_sells_nothing(home: Home) -> None:
    home.config.write_text('[chain]\nmanifest = "/m.json"\n')
    config = load_config(home)
    assert config.provider is None and config.submitter.quotes == 3


def test_the_environment_overrides_the_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.config.write_text(PROVIDER)
    monkeypatch.setenv("XNODE_PROVIDER__PRICES__VCPU_HOUR", "0.5")
    monkeypatch.setenv("XNODE_PROVIDER__SHARE__MEMORY", "1GiB")
    monkeypatch.setenv("XNODE_NODE__LISTEN", "/ip4/127.0.0.1/tcp/4001")
    config = load_config(home)
    assert config.provider and config.provider.prices.vcpu_hour == "0.5"
    assert config.provider.prices.memory_gib_hour == "0.005"
    assert config.provider.share.memory_bytes == 1 << 30
    assert config.node.listen == ("/ip4/127.0.0.1/tcp/4001",)


def test_the_environment_alone_is_enough(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNODE_CHAIN__MANIFEST", "/m.json")
    assert load_config(home).chain.manifest == Path("/m.json")


def test_every_error_comes_at_once_with_its_path(home: Home) -> None:
    lines = _load_error(
        home,
        """
[node]
listne = ["/ip4/0.0.0.0/tcp/0"]
http = "0.0.0.0:80"
bootstrap = ["/ip4/1.2.3.4/tcp/1"]
[provider]
owner = "me"
region = "eu"
interval = "5"
[provider.prices]
vcpu_hour = 0.02
memory_gib_hour = "0.01"
[provider.share]
vcpus = 0
memory = "much"
disk = "1GiB"
[provder]
""",
    )
    expected = {
        "node.listne": 'did you mean "listen"',
        "node.http": "not a loopback address",
        "node.bootstrap.0": "/p2p/",
        "chain": "required section",
        "provider.owner": "not an address",
        "provider.interval": "not a time",
        "provider.prices.vcpu_hour": "in quotes",
        "provider.share.vcpus": "greater than 0",
        "provider.share.memory": "not a size",
        "provder": 'did you mean "provider"',
    }
    for path, words in expected.items():
        assert any(f": {path}: " in line and words in line for line in lines), (path, lines)
    assert len(lines) == len(expected)
    assert all(line.startswith(str(home.config)) for line in lines)


def test_an_error_from_the_environment_names_its_variable(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNODE_PROVIDER__SHARE__MEMORY", "lots")
    lines = _load_error(home, PROVIDER)
    assert len(lines) == 1
    assert lines[0].startswith("environment XNODE_PROVIDER__SHARE__MEMORY: provider.share.memory: ")


def test_an_unknown_name_in_the_environment_is_an_error_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNODE_NODE__LOG_LEVLE", "debug")
    assert "log_level" in _load_error(home, PROVIDER)[0]


def test_a_list_in_the_environment_is_split_at_commas(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.config.write_text(PROVIDER)
    monkeypatch.setenv("XNODE_NODE__LISTEN", "/ip4/127.0.0.1/tcp/1, /ip6/::1/tcp/1")
    assert load_config(home).node.listen == ("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1")


def test_a_section_in_one_variable_is_one_line(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNODE_NODE", "debug")
    assert len(_load_error(home, PROVIDER)) == 1


def test_broken_toml_names_the_line(home: Home) -> None:
    assert "line 2" in _load_error(home, "[node]\nlisten = nothing\n")[0]


def test_a_wrong_value_is_not_repeated_in_full(home: Home) -> None:
    assert all(len(line) < 400 for line in _load_error(home, PROVIDER.replace(OWNER, "x" * 10_000)))


def test_the_home_is_chosen_by_option_then_variable_then_default() -> None:
    assert find_home("/a", {"XNODE_HOME": "/b"}).folder == Path("/a")
    assert find_home(None, {"XNODE_HOME": "/b"}).folder == Path("/b")
    assert find_home(None, {}).folder == Path("~/.xnode").expanduser()


def test_the_settings_are_chosen_by_option_then_variable_then_home() -> None:
    assert find_home("/a", {"XNODE_CONFIG": "/e/b.toml"}, "/e/c.toml").config == Path("/e/c.toml")
    assert find_home("/a", {"XNODE_CONFIG": "/e/b.toml"}).config == Path("/e/b.toml")
    assert find_home("/a", {}).config == Path("/a/config.toml")


def test_relative_paths_are_below_the_home_wherever_the_settings_are(home: Home, tmp_path: Path) -> None:
    declared = tmp_path / "etc" / "node.toml"
    declared.parent.mkdir()
    declared.write_text('[chain]\nmanifest = "chain.json"\n[node]\ndata_dir = "d"\n')
    config = load_config(Home(home.folder, declared))
    assert (config.chain.manifest, config.node.data_dir) == (home.folder / "chain.json", home.folder / "d")
    assert config.node.password_file == home.password


def test_settings_that_are_named_must_be_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNODE_CHAIN__MANIFEST", "/m.json")
    with pytest.raises(UserError) as caught:
        load_config(Home(home.folder, home.folder / "gone.toml"))
    assert (caught.value.where, caught.value.code) == (str(home.folder / "gone.toml"), ExitCode.NOT_FOUND)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("[provider]\nregion = 'eu west'\n", "1 to 32 letters"),
        ("[chain]\nrpc_url = 'localhost'\n", "http or https URL"),
        ("[node]\nlog_level = 'loud'\n", '"warning"'),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_how_it_is_written(setting: str, words: str, home: Home) -> None:
    home.config.write_text(setting)
    with pytest.raises(UserError, match="cannot be its value") as caught:
        load_config(home)
    line = next(line for line in str(caught.value).splitlines() if "cannot be" in line)
    hint = str(caught.value).splitlines()[str(caught.value).splitlines().index(line) + 1]
    assert hint.startswith("hint: allowed: ") and words in hint and "^" not in hint
