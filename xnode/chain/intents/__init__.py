"""Intents: what one wallet does on chain, a module per concern; the same intent asked again is never done twice."""
