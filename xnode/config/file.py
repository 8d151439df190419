"""Config file: home's config.toml as a table, read, and written with a comment on every setting."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from xnode.errors import UserError
from xnode.home import Home

MAX_CONFIG_BYTES = 1 << 20
"""A config has a screenful; more is the wrong file."""


def read_table(home: Home) -> dict[str, Any]:
    """config.toml as it stands, {} when there is none: the environment alone can configure a node."""
    try:
        with home.config.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=str(home.config)) from error
    if len(text) > MAX_CONFIG_BYTES:
        raise UserError(f"longer than {MAX_CONFIG_BYTES} bytes", where=str(home.config))
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"not valid TOML: {error}", where=str(home.config)) from error


def write_config(home: Home, table: Mapping[str, Any]) -> None:
    """Replace config.toml by this table, with a comment on each setting, in one step that cannot leave half a file."""
    lines = ["# xnode's settings. XNODE_SECTION__KEY in the environment overrides any of them."]
    for section in _SECTIONS:
        values = _find_section(table, section)
        if values is None and section.startswith("provider"):
            continue
        lines += ["", f"[{section}]", *_make_setting_lines(section, values or {})]
    home.make()
    temporary = home.config.with_suffix(".toml.new")
    with temporary.open("w") as file:
        temporary.chmod(0o600)
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(home.config)


_SECTIONS: dict[str, dict[str, str]] = {
    "node": {
        "data_dir": 'where database, blobs and workloads are; default: "data" beside this file',
        "database_url": 'default: SQLite in data_dir; or "postgresql+psycopg://user@host/name"',
        "password_file": 'password of the node key; default: "node.password" beside this file',
        "listen": "where peers reach us; port 0 takes any free one",
        "announce": "where peers reach us from outside, when that differs from listen",
        "bootstrap": "peers to start from, each with /p2p/...",
        "relay": "carry connections of others that cannot be reached",
        "dht": "also find peers through the DHT; off on a private network of static peers",
        "http": 'serve /health, /readyz and /metrics here, on loopback; "" is off',
        "log_level": '"debug", "info", "warning" or "error"',
    },
    "chain": {
        "manifest": "the deployment's addresses",
        "rpc_url": "the chain node to use; default: the manifest's",
    },
    "provider": {
        "owner": "who is paid: the wallet that registered this node",
        "region": "where this host is, as submitters name it",
        "asset": "what the prices are in",
        "interval": "a receipt this often",
        "exposure_intervals": "stop a workload when so many intervals are unpaid",
        "max_duration": "the longest job accepted",
        "quote_ttl": "how long a quote holds capacity",
        "thaw_s": "seconds we need to claim once a payer takes money back; escrows that give less are refused",
        "allow_network": "let jobs reach the internet",
        "oci_runtime": '"crun", "runc" or "runsc" (gVisor)',
    },
    "provider.prices": {
        "vcpu_hour": "per vCPU and hour of CPU time used",
        "memory_gib_hour": "per GiB and hour reserved",
        "disk_gib_hour": "per GiB and hour reserved",
        "gpu_hour": "per GPU and hour reserved",
        "ingress_gb": "per 10^9 bytes in",
        "egress_gb": "per 10^9 bytes out",
    },
    "provider.share": {
        "vcpus": "how many of this host's",
        "memory": "",
        "disk": "",
        "gpus": "",
    },
    "provider.sla": {
        "availability": "the part of a lease's time that its workload runs, like 0.99",
        "refund": "the part of the cost given back when it ran less, like 0.1",
    },
    "submitter": {
        "payer": "wallet whose deposit pays for jobs",
        "quotes": "how many of the best providers are asked for a quote",
        "thaw_s": "seconds a provider has to claim once we take money back",
        "silence": "a provider without a word for so long is lost",
    },
}

_EXAMPLES: dict[str, object] = {
    "node.data_dir": "data",
    "node.database_url": "",
    "node.password_file": "node.password",
    "node.listen": ["/ip4/0.0.0.0/tcp/0"],
    "node.announce": [],
    "node.bootstrap": [],
    "node.relay": False,
    "node.dht": True,
    "node.http": "",
    "node.log_level": "info",
    "chain.rpc_url": "",
    "provider.asset": "OPENX",
    "provider.interval": "5s",
    "provider.exposure_intervals": 2,
    "provider.max_duration": "24h",
    "provider.quote_ttl": "30s",
    "provider.thaw_s": 3600,
    "provider.allow_network": False,
    "provider.oci_runtime": "crun",
    "submitter.payer": "0x0000000000000000000000000000000000000000",
    "submitter.quotes": 3,
    "submitter.thaw_s": 3600,
    "submitter.silence": "120s",
}
"""What a setting that is left out stands at: written as a comment."""


def _find_section(table: Mapping[str, Any], section: str) -> Mapping[str, Any] | None:
    found: Any = table
    for name in section.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _make_setting_lines(section: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, comment in _SECTIONS[section].items():
        given = name in values
        if not given and f"{section}.{name}" not in _EXAMPLES:
            continue
        value = values[name] if given else _EXAMPLES[f"{section}.{name}"]
        setting = ("" if given else "# ") + f"{name} = {_format_value(value)}"
        yield f"{setting:<44}  # {comment}" if comment else setting


def _format_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(_format_value(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
