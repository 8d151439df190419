"""Effects: does what the node's core asks for, through the ports, and returns each result as a change."""
