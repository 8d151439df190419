"""`xnode audit` and `xnode fault`: what signed documents show, and proving it."""
