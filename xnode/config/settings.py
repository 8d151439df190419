"""Settings: every setting of a node, declared once: default, description, limits and the form it is written in.

A default is as a person writes it ("5s"); config.toml, docs/config.md and the validation all come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scheduler.registry import WELL_KNOWN
from xnode.config.values import (
    LIVE,
    AssetSymbol,
    Bootstraps,
    DatabaseUrl,
    DurationNs,
    HistoryNs,
    HostNames,
    HostPath,
    HttpAddress,
    Multiaddrs,
    PartPpm,
    Payer,
    Price,
    RegionName,
    Registries,
    RuntimeName,
    SilenceNs,
    Size,
    ThawS,
    Url,
    WalletAddress,
)
from xnode.home import Home

ENV_PREFIX = "XNODE_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NodeConfig(_Section):
    """Where the node keeps its data and how peers reach it. Both roles have it."""

    data_dir: HostPath = Field(
        default=Path("data"), description="database, blobs and workloads; a relative path is below the home"
    )
    database_url: DatabaseUrl = Field(
        default="", description='"" is SQLite in data_dir; else like "postgresql+psycopg://user@host/name"'
    )
    password_file: HostPath = Field(
        default=Path("node.password"), description="file with the node key's password, readable by its owner only"
    )
    listen: Multiaddrs = Field(
        default=("/ip4/0.0.0.0/tcp/0",),
        description="where this node listens for peers; port 0 takes any free one, and that again when it starts anew",
    )
    announce: Multiaddrs = Field(
        default=(), description="where peers reach this node from outside, when that differs from listen"
    )
    bootstrap: Bootstraps = Field(default=(), description="peers to start from, each with its /p2p/ part")
    relay: bool = Field(default=False, description="relay connections for peers that cannot be reached directly")
    dht: bool = Field(
        default=True, description="also find peers through the DHT; off on a private network of static peers"
    )
    disk_budget_bytes: Annotated[Size, LIVE] = Field(
        default="20GiB",
        validate_default=True,
        alias="disk_budget",
        description="the most that images, inputs and other files that can be had again take of data_dir's disk, and never "
        "more than a quarter of it; the longest unused go first",
    )
    min_free_bytes: Annotated[Size, LIVE] = Field(
        default="2GiB",
        validate_default=True,
        alias="min_free",
        description="free space of that disk below which no new work is taken",
    )
    keep_files_ns: Annotated[DurationNs, LIVE] = Field(
        default="30d",
        validate_default=True,
        alias="keep_files",
        description="how long logs, outputs and images of ended jobs are kept here",
    )
    keep_history_ns: Annotated[HistoryNs, LIVE] = Field(
        default="120d",
        validate_default=True,
        alias="keep_history",
        description="how long the evidence of ended jobs and leases is kept: receipts, vouchers, and what `audit` reads",
    )
    http: HttpAddress = Field(default="", description='serve /health, /readyz and /metrics here; "" is off')
    http_names: HostNames = Field(
        default=(), description="host names that HTTP requests may name besides localhost: of a reverse proxy in front"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LIVE] = Field(
        default="info", description="the least severe message that is logged"
    )


class ChainConfig(_Section):
    """Which deployment of the contracts the node uses. `init` writes it."""

    manifest: HostPath = Field(description="file with the deployment's addresses", examples=["chain.json"])
    rpc_url: Url = Field(default="", description='the chain node to use; "" is the manifest\'s')


class Prices(_Section):
    """The prices asked, in the provider's asset. `xnode provider price set` changes it while the daemon runs."""

    vcpu_hour: Annotated[Price, LIVE] = Field(description="per vCPU and hour of CPU time used", examples=["0.02"])
    memory_gib_hour: Annotated[Price, LIVE] = Field(
        description="per GiB of memory and hour reserved", examples=["0.005"]
    )
    disk_gib_hour: Annotated[Price, LIVE] = Field(default="0", description="per GiB of disk and hour reserved")
    gpu_hour: Annotated[Price, LIVE] = Field(default="0", description="per GPU and hour reserved")
    ingress_gb: Annotated[Price, LIVE] = Field(default="0", description="per 10^9 bytes in")
    egress_gb: Annotated[Price, LIVE] = Field(default="0", description="per 10^9 bytes out")


class Share(_Section):
    """How much of this host is offered."""

    vcpus: Annotated[float, Field(gt=0, le=4096), LIVE] = Field(description="CPU cores offered", examples=[4])
    memory_bytes: Annotated[Size, LIVE] = Field(alias="memory", description="memory offered", examples=["8GiB"])
    disk_bytes: Annotated[Size, LIVE] = Field(
        alias="disk", description="disk offered, in data_dir", examples=["100GiB"]
    )
    gpus: Annotated[int, Field(ge=0, le=1024)] = Field(default=0, description="GPUs offered")


class Sla(_Section):
    """The promise made with every quote. Without this section nothing is promised. It counts from a moment that the lease's terms
    name; a workload that cannot start by then is not started, and nothing is charged."""

    availability_ppm: Annotated[PartPpm, LIVE] = Field(
        alias="availability", description="the part of a lease's time that its workload runs", examples=[0.99]
    )
    refund_ppm: Annotated[PartPpm, LIVE] = Field(
        alias="refund", description="the part of the cost given back when it ran less", examples=[0.1]
    )


class ProviderConfig(_Section):
    """What a node that sells compute offers, and on which terms. A node without this section sells nothing."""

    owner: WalletAddress = Field(
        description="who is paid: the wallet that registered this node", examples=["0x" + "ab" * 20]
    )
    region: Annotated[RegionName, LIVE] = Field(
        description="where this host is, as submitters name it", examples=["eu-west"]
    )
    asset: AssetSymbol = Field(default="OPENX", description="what the prices are in")
    interval_ns: Annotated[DurationNs, LIVE] = Field(
        default="5s", validate_default=True, alias="interval", description="time between two receipts"
    )
    exposure_intervals: Annotated[int, Field(ge=1, le=100), LIVE] = Field(
        default=12, description="stop a workload when this many intervals are unpaid; part of the terms of every lease"
    )
    max_duration_ns: Annotated[DurationNs, LIVE] = Field(
        default="24h", validate_default=True, alias="max_duration", description="the longest job accepted"
    )
    quote_ttl_ns: Annotated[DurationNs, LIVE] = Field(
        default="30s", validate_default=True, alias="quote_ttl", description="how long a quote holds capacity"
    )
    stranger_share_ppm: Annotated[PartPpm, LIVE] = Field(
        default=0.25,
        validate_default=True,
        alias="stranger_share",
        description="the part of the capacity that quotes hold for submitters whose payer never paid this provider; beyond "
        "it they are quoted, and who signs first has the capacity",
    )
    thaw_s: ThawS = Field(
        default=86_400,
        description="least seconds of thaw (unbonding) of an escrow: the time to claim once a payer takes money back; never "
        "less than the deployment's own",
    )
    allow_network: bool = Field(default=False, description="let jobs access the internet")
    registries: Registries = Field(
        default=WELL_KNOWN,
        description='registries that images are pulled from, at public addresses only; ["any public"] is every one, [] none; '
        "one at a private address is named by that address and its port",
    )
    keep_outputs_ns: Annotated[DurationNs, LIVE] = Field(
        default="7d",
        validate_default=True,
        alias="keep_outputs",
        description="how long outputs and logs of ended leases wait for their submitters",
    )
    keep_images_ns: Annotated[DurationNs, LIVE] = Field(
        default="14d",
        validate_default=True,
        alias="keep_images",
        description="how long an image is kept for the next lease that wants it",
    )
    oci_runtime: RuntimeName = Field(default="crun", description='"crun", "runc" or "runsc" (gVisor)')
    prices: Prices
    share: Share
    sla: Sla | None = None


class SubmitterConfig(_Section):
    """How a node that buys compute pays and chooses."""

    payer: Payer = Field(
        default="", validate_default=True, description='wallet whose deposit pays for jobs; "" buys nothing'
    )
    quotes: Annotated[int, Field(ge=1, le=16), LIVE] = Field(
        default=3, description="how many of the best providers are asked for a quote"
    )
    thaw_s: Annotated[ThawS, LIVE] = Field(
        default=86_400,
        description="seconds of thaw (unbonding): how long a provider can claim once money is taken back; never less than the "
        "deployment's own",
    )
    silence_ns: Annotated[SilenceNs, LIVE] = Field(
        default="120s", validate_default=True, alias="silence", description="a provider silent for this long is lost"
    )
    max_exposure_intervals: Annotated[int, Field(ge=1, le=100)] = Field(
        default=60, description="the most unpaid intervals that a provider's terms may allow"
    )
    max_exposure_ns: DurationNs = Field(
        default="1m",
        validate_default=True,
        alias="max_exposure",
        description="the most time of unpaid work they may allow",
    )
    capacity_wait_ns: Annotated[DurationNs, LIVE] = Field(
        default="10m",
        validate_default=True,
        alias="capacity_wait",
        description="how long a job waits for providers that it fits and that are all busy or do not answer",
    )
    max_prepay_ns: Annotated[DurationNs, LIVE] = Field(
        default="24h",
        validate_default=True,
        alias="max_prepay",
        description="how far ahead of its receipts a job may be paid, where the job asks for it (`prepay`)",
    )


class Settings(BaseSettings):
    """All sections. The environment overrides the values given, which are the file's."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    node: NodeConfig = NodeConfig()
    chain: ChainConfig
    submitter: SubmitterConfig = SubmitterConfig()
    provider: ProviderConfig | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


class Written(NamedTuple):
    """A setting as a person wrote it. place: "file", "environment XNODE_..." or "command"."""

    value: Any
    place: str


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a daemon is configured with. Paths are absolute. written: what was not left at its default, by name."""

    home: Home
    node: NodeConfig
    chain: ChainConfig
    provider: ProviderConfig | None
    submitter: SubmitterConfig
    written: Mapping[str, Written] = field(default_factory=dict, compare=False)
