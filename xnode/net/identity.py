"""Identity: a node's Ethereum key is its libp2p key, so a secured connection proves the other side's address."""

from __future__ import annotations

from functools import lru_cache

import coincurve
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import Secp256k1PrivateKey
from libp2p.peer.id import ID

from metering.signature import address_of_key
from metering.units import Address

SECRET_BYTES = 32

_ID_PREFIX = bytes.fromhex("002508021221")
"""Identity multihash (code 0, 37 bytes) of libp2p's PublicKey message: type 2 (secp256k1), data of 33 bytes.
https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md"""


def key_pair_of(secret: bytes) -> KeyPair:
    """The libp2p key pair of a node's 32-byte secp256k1 secret."""
    private = Secp256k1PrivateKey(coincurve.PrivateKey(secret))
    return KeyPair(private, private.get_public_key())


def node_address_of(secret: bytes) -> Address:
    """The Ethereum address of a node's secret."""
    return address_of_key(coincurve.PrivateKey(secret).public_key)


def peer_id_of(public: bytes) -> ID:
    """The peer id of a compressed (33 byte) secp256k1 public key. Raises ValueError for anything else."""
    key = coincurve.PublicKey(public)
    return ID(_ID_PREFIX + key.format(compressed=True))


def peer_id_text_of(secret: bytes) -> str:
    """What stands behind /p2p/ in a multiaddr of this node."""
    return peer_id_of(coincurve.PrivateKey(secret).public_key.format()).to_base58()


def read_peer_id(text: str) -> Address | None:
    """The Ethereum address behind the base58 text of a peer id, or None when there is none."""
    try:
        return address_of_peer_id(ID.from_base58(text))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def address_of_peer_id(peer_id: ID) -> Address | None:
    """The Ethereum address behind a peer id, or None when the id embeds no secp256k1 key."""
    raw = peer_id.to_bytes()
    if len(raw) != len(_ID_PREFIX) + 33 or not raw.startswith(_ID_PREFIX):
        return None
    try:
        return address_of_key(coincurve.PublicKey(raw[len(_ID_PREFIX) :]))
    except ValueError:
        return None
