"""What is pure of the net: intake, multiaddrs, records and their book."""

from __future__ import annotations

import secrets
from dataclasses import replace

import coincurve
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from metering.codec import encode
from metering.eip712 import Domain, typed_digest
from metering.refusal import Refusal
from metering.signature import address_of_key, sign_digest
from metering.units import NANOS_PER_SECOND, Address, Hash32
from xnode.net import record_book
from xnode.net.intake import MAX_BUCKETS, Intake, IntakeLimits, Room, Share
from xnode.net.multiaddr import Endpoint, expand_unspecified, make_multiaddr, name_peer, parse_multiaddr
from xnode.net.record_book import RecordBook
from xnode.net.records import (
    MAX_LIFE_NS,
    MAX_MULTIADDRS,
    PROVIDER_SHARDS,
    NodeRecord,
    address_of_dht_key,
    dht_key_of,
    list_provider_keys,
    make_record,
    provider_key_of,
    read_record,
    select_newest,
)
from xnode.net.standing import Standing

A, B, C = (Address(bytes((each,)) * 20) for each in (1, 2, 3))
LIMITS = IntakeLimits(at_once_peer=2, at_once_total=3, rate=10.0, burst=4.0)

DOMAIN = Domain(31337, Address(bytes(range(20))))
SEPARATOR = DOMAIN.separator()
NOW = 1_800_000_000 * NANOS_PER_SECOND


class KeySigner:
    """ports.Signer over a bare key."""

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.address = address_of_key(self._key.public_key)

    def sign(self, type_name: str, value: object) -> bytes:
        return sign_digest(self._key, typed_digest(SEPARATOR, type_name, value))


SIGNER = KeySigner(b"\x11" * 32)


def a_record(number: int = 1, **changes: object) -> NodeRecord:
    plain = {
        "node": SIGNER.address,
        "number": number,
        "expires_at_ns": NOW + NANOS_PER_SECOND,
        "multiaddrs": ("/ip4/10.0.0.1/tcp/4001",),
        "body": b"offer",
    }
    return NodeRecord(**{**plain, **changes})  # type: ignore[arg-type]


def test_peer_has_so_many_requests_open_at_once() -> None:
    intake = Intake(LIMITS)
    assert intake.enter(A, 0) == 0
    assert intake.enter(A, 0) == 0
    assert "at once" in str(intake.enter(A, 0))
    intake.leave(A)
    assert intake.enter(A, 0) == 0


def test_all_peers_together_have_so_many_requests_open() -> None:
    intake = Intake(LIMITS)
    assert [intake.enter(peer, 0) for peer in (A, A, B)] == [0] * 3
    assert "all peers" in str(intake.enter(C, 0))


def test_rate_is_paid_from_a_bucket_that_refills() -> None:
    intake = Intake(LIMITS)
    for _ in range(4):
        assert intake.enter(A, 0) == 0
        intake.leave(A)
    assert "a second" in str(intake.enter(A, 0))
    assert intake.enter(B, 0) == 0
    assert intake.enter(A, 0.1) == 0


def test_a_paced_peer_waits_until_it_is_due_and_only_so_many_do() -> None:
    intake = Intake(replace(LIMITS, at_once_peer=20, at_once_total=20, paced=True))
    waits = [intake.enter(A, 0) for _ in range(21)]
    assert waits[:4] == [0] * 4 and waits[4:20] == [pytest.approx(0.1 * late) for late in range(1, 17)]
    assert "at once" in str(waits[20])
    for _ in range(20):
        intake.leave(A)
    assert intake.enter(A, 1.0) == pytest.approx(0.7), "what is ahead of the rate is paid back"
    assert intake.enter(A, 10.0) == 0


SHARED = replace(LIMITS, at_once_total=4, strangers=Share(at_once=2, rate=1.0, burst=4.0, all_rate=1.0, all_burst=6.0))


def test_strangers_leave_room_for_those_we_work_with() -> None:
    intake = Intake(SHARED)
    assert [intake.enter(peer, 0, Standing.STRANGER) for peer in (A, B)] == [0, 0]
    assert "all peers" in str(intake.enter(C, 0, Standing.STRANGER))
    assert [intake.enter(C, 0, Standing.PARTNER) for _ in range(2)] == [0, 0]
    intake.leave(A)
    intake.leave(C)
    assert intake.enter(A, 0, Standing.STRANGER) == 0
    for peer in (A, B, C):
        intake.leave(peer)
    assert not intake._open and not intake._strangers


def test_when_strangers_ask_too_much_those_who_asked_little_are_served() -> None:
    intake = Intake(SHARED)

    def ask(peer: Address, standing: Standing = Standing.STRANGER) -> bool:
        wait_s = intake.enter(peer, 0, standing)
        if wait_s == 0:
            intake.leave(peer)
        return wait_s == 0

    assert [ask(A) for _ in range(5)] == [True] * 4 + [False], "its own burst"
    assert [ask(B) for _ in range(4)] == [True, True, False, False], "the burst of all is used up"
    assert ask(C), "it has asked nothing yet"
    assert intake.enter(A, 0.1, Standing.PARTNER) == 0, "with a lease the rate of others is its own again"


def test_what_strangers_have_us_hold_is_bounded() -> None:
    room = Room(most=10)
    assert room.take(7) and not room.take(4) and room.take(3)
    room.give(7)
    assert room.take(7)


def test_many_peers_do_not_fill_the_memory() -> None:
    intake = Intake(LIMITS)
    for number in range(MAX_BUCKETS + 50):
        peer = Address(number.to_bytes(20, "big"))
        assert intake.enter(peer, number) == 0
        intake.leave(peer)
    assert len(intake._buckets) == MAX_BUCKETS
    assert intake.open_requests == 0 and not intake._open


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/ip4/1.2.3.4/tcp/4001", Endpoint("1.2.3.4", 4001)),
        ("/ip6/::1/tcp/1", Endpoint("::1", 1)),
        ("/dns/node.example.org/tcp/443", Endpoint("node.example.org", 443)),
        ("/ip4/1.2.3.4/tcp/1/p2p/" + "Q" * 46, Endpoint("1.2.3.4", 1, "Q" * 46)),
        (
            "/ip4/1.2.3.4/tcp/1/p2p/" + "Q" * 46 + "/p2p-circuit/p2p/" + "R" * 46,
            Endpoint("1.2.3.4", 1, "Q" * 46, "R" * 46),
        ),
    ],
)
def test_tcp_multiaddr_is_an_endpoint(text: str, endpoint: Endpoint) -> None:
    assert parse_multiaddr(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/ip4/1.2.3.4",
        "/ip4/::1/tcp/1",
        "/ip6/1.2.3.4/tcp/1",
        "/ip4/1.2.3.4/tcp/0",
        "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/udp/1/quic-v1",
        "/ip4/1.2.3.4/tcp/1/ws",
        "/ip4/1.2.3.4/tcp/1/p2p-circuit/p2p/" + "R" * 46,
        "/dns/-a b/tcp/1",
        "/dns/" + "a" * 260 + "/tcp/1",
        "1.2.3.4:1",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_multiaddr(text) is None


@given(st.text())
def test_any_text_is_an_endpoint_or_none(text: str) -> None:
    assert parse_multiaddr(text) is None or parse_multiaddr(text)


def test_multiaddr_is_made_as_it_is_read() -> None:
    for host in ("1.2.3.4", "::1", "node.example.org"):
        assert parse_multiaddr(make_multiaddr(host, 4001)) == Endpoint(host, 4001)


def test_unspecified_address_becomes_the_interfaces() -> None:
    expanded = expand_unspecified(("/ip4/0.0.0.0/tcp/4001", "/ip4/127.0.0.1/tcp/4001"))
    assert expanded and not any("0.0.0.0" in each for each in expanded)
    assert all(parse_multiaddr(each) for each in expanded)


def test_record_is_read_as_it_was_signed() -> None:
    record = a_record()
    assert read_record(make_record(record, SIGNER), SIGNER.address, SEPARATOR, NOW) == record


def test_record_signature_is_eip712_as_others_compute_it() -> None:
    record = a_record()
    typed = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "NodeRecord": [
                {"name": "node", "type": "address"},
                {"name": "number", "type": "uint64"},
                {"name": "expiresAtNs", "type": "uint64"},
                {"name": "bodyHash", "type": "bytes32"},
            ],
        },
        "primaryType": "NodeRecord",
        "domain": {
            "name": "xnode",
            "version": "1",
            "chainId": 31337,
            "verifyingContract": "0x" + DOMAIN.contract.hex(),
        },
        "message": {
            "node": "0x" + record.node.hex(),
            "number": record.number,
            "expiresAtNs": record.expires_at_ns,
            "bodyHash": record.body_hash,
        },
    }
    signed = Account.from_key(b"\x11" * 32).sign_message(encode_typed_data(full_message=typed))
    assert SIGNER.sign("NodeRecord", record) == bytes(signed.signature)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires_at_ns": NOW}, "record_expired"),
        ({"expires_at_ns": NOW + MAX_LIFE_NS + 1}, "record_too_lasting"),
        ({"multiaddrs": ("/ip4/10.0.0.1/tcp/4001",) * (MAX_MULTIADDRS + 1)}, "record_multiaddrs"),
        ({"multiaddrs": ("nonsense",)}, "record_multiaddrs"),
        ({"body": bytes(1 << 15)}, "record_too_long"),
    ],
)
def test_record_out_of_its_limits_is_refused(changes: dict[str, object], code: str) -> None:
    refusal = read_record(make_record(a_record(**changes), SIGNER), SIGNER.address, SEPARATOR, NOW)  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal) and refusal.code == code


@pytest.mark.parametrize("field", ["number", "expires_at_ns", "multiaddrs", "body"])
def test_changed_record_is_refused(field: str) -> None:
    record, other = a_record(), a_record(2, expires_at_ns=NOW + 7, multiaddrs=(), body=b"other")
    changes = {name: getattr(other if name == field else record, name) for name in record.__struct_fields__}
    forged = encode((NodeRecord(**changes), SIGNER.sign("NodeRecord", record)))
    refusal = read_record(forged, SIGNER.address, SEPARATOR, NOW)
    assert isinstance(refusal, Refusal) and refusal.code == "record_signature"


def test_record_of_another_domain_is_refused() -> None:
    refusal = read_record(make_record(a_record(), SIGNER), SIGNER.address, Hash32(bytes(32)), NOW)
    assert isinstance(refusal, Refusal) and refusal.code == "record_signature"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_refusal(data: bytes) -> None:
    assert isinstance(read_record(data, SIGNER.address, SEPARATOR, NOW), Refusal)


@given(st.integers(-(1 << 70), 1 << 70), st.integers(-(1 << 63), (1 << 64) - 1))
def test_any_number_is_refused_or_signed(number: int, expires: int) -> None:
    try:
        data = encode((a_record(number, expires_at_ns=expires), bytes(65)))
    except OverflowError:
        return
    assert isinstance(read_record(data, SIGNER.address, SEPARATOR, NOW), Refusal)


def test_newest_record_is_kept_and_of_equals_the_last() -> None:
    refusal = Refusal("record_expired", "")
    assert select_newest([a_record(3), a_record(5), a_record(4)]) == 1
    assert select_newest([a_record(5), a_record(5), refusal]) == 1
    assert select_newest([refusal, a_record(0)]) == 1


def test_book_keeps_the_newest_and_forgets_the_expired() -> None:
    book = RecordBook(SEPARATOR)
    node = SIGNER.address
    assert book.add(node, make_record(a_record(2), SIGNER), NOW) is None
    older = book.add(node, make_record(a_record(1), SIGNER), NOW)
    assert older is not None and older.code == "record_old"
    known = book.find(node, NOW)
    assert known is not None and known[0].number == 2
    assert [each.number for each in book.walk(NOW)] == [2]
    assert book.find(node, NOW + 2 * NANOS_PER_SECOND) is None
    assert list(book.walk(NOW + 2 * NANOS_PER_SECOND)) == []


def test_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_book, "MAX_RECORDS", 3)
    book, signers = RecordBook(SEPARATOR), [KeySigner(secrets.token_bytes(32)) for _ in range(5)]
    for signer in signers:
        assert book.add(signer.address, make_record(a_record(node=signer.address), signer), NOW) is None
    assert [each.node for each in book.walk(NOW)] == [signer.address for signer in signers[2:]]


def test_records_of_strangers_push_out_no_record_of_a_node_that_the_chain_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_book, "MAX_RECORDS", 3)
    signers = [KeySigner(secrets.token_bytes(32)) for _ in range(6)]
    known = signers[0].address
    book = RecordBook(SEPARATOR, lambda node: Standing.REGISTERED if node == known else Standing.STRANGER)
    for signer in signers:
        assert book.add(signer.address, make_record(a_record(node=signer.address), signer), NOW) is None
    assert {each.node for each in book.walk(NOW)} == {known, signers[4].address, signers[5].address}
    assert [each.node for each in book.rank(NOW)][-1] == known, "the best come last, and are listed"


def test_a_peer_id_stands_once_at_the_end_of_an_address() -> None:
    me, relay = "R" * 46, "Q" * 46
    for text in ("/ip4/1.2.3.4/tcp/1", f"/ip4/1.2.3.4/tcp/1/p2p/{relay}/p2p-circuit"):
        named = name_peer(text, me)
        assert named == name_peer(named, me) == f"{text}/p2p/{me}"
        assert parse_multiaddr(named) is not None


def test_dht_keys_name_their_node() -> None:
    assert address_of_dht_key(dht_key_of(A)) == A
    for other in ("/xn/", "/xn/" + "A" * 40, "/pk/" + "a" * 40, dht_key_of(A) + "0"):
        assert address_of_dht_key(other) is None


def test_every_provider_has_one_of_the_keys() -> None:
    keys = {provider_key_of(Address(bytes(19) + bytes((each,)))) for each in range(256)}
    assert keys == set(list_provider_keys()) and len(keys) == PROVIDER_SHARDS
