"""Peers: asks other nodes and answers them; what they say becomes a change."""
