"""A registry is who its name says, though its checked address is what is dialed."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore2
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scheduler.registry import Address, Reference
from tests.xnode.runtime.registry.server import serve_registry
from xnode.errors import Permanent, Retryable
from xnode.runtime.registry.client import RegistryClient
from xnode.runtime.registry.reach import Reach

PUBLIC = "1.1.1.1"
DIGEST = "sha256:" + "0" * 64


class Led(httpcore2.AsyncNetworkBackend):
    """Leads every connection to one local port, and notes where it was to go."""

    def __init__(self, port: int) -> None:
        self.real, self.port, self.asked = httpcore2.TrioBackend(), port, list[tuple[str, int]]()

    async def connect_tcp(self, host: str, port: int, *_rest: Any) -> httpcore2.AsyncNetworkStream:
        self.asked.append((host, port))
        return await self.real.connect_tcp("127.0.0.1", self.port, 5.0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the key and the certificate of registry.example."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("registry.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path = tmp_path_factory.mktemp("tls") / "registry.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def port(layout: Path, certificate: Path) -> Iterator[int]:
    """Where a registry with that certificate answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serve_registry(layout, tls=context) as served:
        yield int(served.place.rpartition(":")[2])


async def read(name: str, port: int, trusted: Path | None) -> list[tuple[str, int]]:
    async def resolve(_host: str) -> tuple[Address, ...]:
        await trio.lowlevel.checkpoint()
        return (ipaddress.ip_address(PUBLIC),)

    reach = Reach((name,), resolve)
    reach.inner = led = Led(port)
    tls = ssl.create_default_context(cafile=trusted) if trusted else None
    with trio.fail_after(20):
        async with RegistryClient(Reference(name, "some/name"), reach, tls) as client:
            with pytest.raises(Permanent, match="HTTP 404"):
                await client.read_manifest(DIGEST)
    return led.asked


async def test_registry_of_that_name_is_believed_at_its_checked_address(port: int, certificate: Path) -> None:
    assert await read("registry.example", port, certificate) == [(PUBLIC, 443)]


async def test_registry_of_another_name_or_of_no_known_authority_is_not(port: int, certificate: Path) -> None:
    for name, trusted in (("other.example", certificate), ("registry.example", None)):
        with pytest.raises(Retryable, match="cannot be reached"):
            await read(name, port, trusted)
