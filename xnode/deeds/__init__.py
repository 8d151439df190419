"""Deeds: does the effects that the node's core asks for, and turns what peers and people say into changes."""
