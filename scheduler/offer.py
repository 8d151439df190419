"""Offer: a provider's standing, signed advertisement: hardware profile and ask."""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.bounds import MAX_LABEL_CHARS, MAX_LINE_CHARS, Label, Line, Multiaddrs, SignatureBytes, cut
from metering.codec import encode
from metering.eip712 import keccak, typed_digest
from metering.refusal import Refusal
from metering.resources import Resources
from metering.signature import is_signed_by
from metering.sla import NO_PROMISE, Promise
from metering.tariff import Tariff
from metering.units import U32, U64, Address, Hash32, Nanos

SETTINGS_TOKEN = " settings/"
"""Between the software's name and the hash of its settings: one text, so that nodes of versions before still read the offer."""

SETTINGS_HASH_CHARS = 24
"""Hex digits of that hash in an offer: 96 bits tell two settings apart, and leave room for the software's name."""

MAX_GPUS = 256
"""Devices, or parts of divided ones, in one host."""


class Gpu(msgspec.Struct, frozen=True, array_like=True):
    """One device. vendor: "nvidia" or "amd"; model: the vendor's name for it, e.g. "NVIDIA H200", which is what a job asks for;
    memory_bytes: 0 when not known; driver: its version; uuid: the vendor's, "" when not known."""

    vendor: Label
    model: Label
    memory_bytes: U64
    driver: Label = ""
    uuid: Label = ""


class HardwareProfile(msgspec.Struct, frozen=True):
    """What a host has. cpu_model: as the kernel names it; cpu_cores, cpu_threads: of all processors; memory_bytes, disk_bytes:
    of the host, and free on the disk of the node; architecture: the kernel's word, e.g. "x86_64" or "aarch64"; kernel: its
    release; network_mbps: of the fastest link, 0 when not known; cgroup_version: 1 or 2, 0 when not known."""

    cpu_model: Line
    cpu_cores: U64
    cpu_threads: U64
    memory_bytes: U64
    disk_bytes: U64
    architecture: Label
    kernel: Line
    gpus: Annotated[tuple[Gpu, ...], msgspec.Meta(max_length=MAX_GPUS)] = ()
    network_mbps: U64 = 0
    cgroup_version: U32 = 0


def fit_profile(profile: HardwareProfile) -> HardwareProfile:
    """The profile within its bounds: kernels and drivers name things as they like, and nobody would read a longer one."""
    names = ("vendor", "model", "driver", "uuid")
    gpus = (
        msgspec.structs.replace(gpu, **{name: cut(getattr(gpu, name), MAX_LABEL_CHARS) for name in names})
        for gpu in profile.gpus[:MAX_GPUS]
    )
    return msgspec.structs.replace(
        profile,
        cpu_model=cut(profile.cpu_model, MAX_LINE_CHARS),
        architecture=cut(profile.architecture, MAX_LABEL_CHARS),
        kernel=cut(profile.kernel, MAX_LINE_CHARS),
        gpus=tuple(gpus),
    )


def name_software(software: str, settings_hash: Hash32) -> str:
    """What an offer says of the software and of its settings: "xnode/1.2.3 settings/" and the beginning of their hash."""
    if not any(settings_hash):
        return cut(software, MAX_LABEL_CHARS)
    token = f"{SETTINGS_TOKEN}{settings_hash.hex()[:SETTINGS_HASH_CHARS]}"
    return cut(software, MAX_LABEL_CHARS - len(token)) + token


def read_software(text: str) -> tuple[str, str]:
    """The software that an offer names, and the hash of its settings in hex; "" where it says none. A provider says both of
    itself."""
    software, token, settings = text.rpartition(SETTINGS_TOKEN)
    known = token and len(settings) == SETTINGS_HASH_CHARS and set(settings) <= set("0123456789abcdef")
    return (software, settings) if known else (text, "")


class OfferBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """free: what can be leased now; capacity: what is offered in all; asset: what the tariff is in;
    interval_ns and exposure_intervals: how often receipts come and how many may go unpaid; thaw: the least it accepts,
    seconds; allows_network: jobs may ask for network; runtime: the OCI runtime that starts containers, e.g. "crun"; software:
    "xnode/" and its version, with the hash of its settings (see name_software); multiaddrs: where the node listens;
    fetches_images: it pulls from registries; promise: of availability, taken into quotes."""

    profile: HardwareProfile
    capacity: Resources
    free: Resources
    tariff: Tariff
    asset: Address
    region: Label
    interval_ns: Nanos
    exposure_intervals: U32
    min_duration_ns: Nanos
    max_duration_ns: Nanos
    thaw: U32
    allows_network: bool
    runtime: Line
    software: Label
    multiaddrs: Multiaddrs = ()
    fetches_images: bool = True
    promise: Promise = NO_PROMISE


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """provider: registered owner who is paid; node: its node key; number: grows with every change of the offer, so two
    different offers of one number are proof of fraud; expires_at_ns: not to be used after."""

    provider: Address
    node: Address
    number: U64
    expires_at_ns: Nanos
    body: OfferBody

    @property
    def body_hash(self) -> Hash32:
        """keccak of the body's canonical bytes."""
        return keccak(encode(self.body))


class SignedOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An offer and its node's signature."""

    offer: Offer
    signature: SignatureBytes


def offer_digest_of(separator: Hash32, offer: Offer) -> Hash32:
    """What the provider's node signs."""
    return typed_digest(separator, "Offer", offer)


def check_offer(signed: SignedOffer, separator: Hash32, now_ns: int) -> Refusal | None:
    """What is wrong with an offer that came from anywhere."""
    offer = signed.offer
    if offer.expires_at_ns <= now_ns:
        return Refusal("offer_expired", f"offer {offer.number} of 0x{offer.node.hex()} has expired")
    if not is_signed_by(offer.node, offer_digest_of(separator, offer), signed.signature):
        return Refusal("offer_signature", f"offer {offer.number} is not signed by node 0x{offer.node.hex()}")
    return None
