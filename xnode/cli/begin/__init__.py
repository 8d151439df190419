"""Begin: from nothing to a node that works, in one command: each step looks at what is there, and does what is missing."""
