"""xnode: the node daemon of a decentralized compute marketplace."""

__version__ = "0.2.0"
