"""What is pulled, and from where, is decided by a reference's one reading and by addresses that only one host has."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from scheduler.registry import ANY_PUBLIC, WELL_KNOWN, Reference, is_allowed, is_public, parse_reference, read_registry

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("busybox", "docker.io", "library/busybox"),
        ("me/train:v1", "docker.io", "me/train"),
        ("docker.io/busybox", "docker.io", "library/busybox"),
        ("registry-1.docker.io/a/b", "docker.io", "a/b"),
        (f"ghcr.io/me/train:v2@{DIGEST}", "ghcr.io", "me/train"),
        ("GHCR.io/me/train", "ghcr.io", "me/train"),
        ("ghcr.io:443/me/train", "ghcr.io", "me/train"),
        ("registry.example:5000/a_b/c.d--e", "registry.example:5000", "a_b/c.d--e"),
        ("[2001:db8::1]:5000/x", "[2001:db8::1]:5000", "x"),
        ("localhost/x", "localhost", "x"),
    ],
)
def test_reference_is_read_as_all_tools_read_it(text: str, registry: str, repository: str) -> None:
    assert parse_reference(text) == Reference(registry, repository)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/x",
        "ghcr.io/",
        "ghcr.io/../x",
        "ghcr.io/x?y",
        "ghcr.io/x#y",
        "ghcr.io/x y",
        "ghcr.io/X",
        "user@ghcr.io/x",
        "user:word@ghcr.io/x",
        "http://ghcr.io/x",
        "ghcr.io:0/x",
        "ghcr.io:65536/x",
        "ghcr.io/x:" + "t" * 129,
        "ghcr.io/" + "x" * 600,
        "gh\r\ncr.io/x",
        "ghcr。io/x",
    ],
)
def test_what_is_no_reference_leads_nowhere(text: str) -> None:
    assert parse_reference(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "100::1",
        "::7f00:1",
    ],
)
def test_address_that_leads_inside_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2a00:1450::1"]
)
def test_address_of_one_host_on_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


def test_any_public_allows_names_at_the_port_of_https_only() -> None:
    allowed = (ANY_PUBLIC,)
    assert is_allowed("registry.example", allowed) and is_allowed("1.1.1.1", allowed)
    for registry in (
        "registry.example:5000",
        "localhost",
        "intranet",
        "printer.local",
        "127.0.0.1",
        "[::1]",
        "10.0.0.1",
    ):
        assert not is_allowed(registry, allowed)


def test_list_allows_what_it_names_and_nothing_beside_it() -> None:
    allowed = (*WELL_KNOWN, "10.0.0.5:5000")
    assert is_allowed("docker.io", allowed) and is_allowed("10.0.0.5:5000", allowed)
    for registry in ("docker.io.evil.example", "evil.docker.io", "10.0.0.5", "10.0.0.5:5001", "docker.io:444"):
        assert not is_allowed(registry, allowed)


def test_setting_has_one_spelling() -> None:
    assert (read_registry("GHCR.io:443"), read_registry("index.docker.io")) == ("ghcr.io", "docker.io")
    assert read_registry("https://ghcr.io") is None
