"""The provider's half of a node: offer, quotes, leases it serves, money it earns."""
