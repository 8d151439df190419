"""Upkeep: what a node does for its own disk: takes away what nobody needs any more, and says how much room there is."""
