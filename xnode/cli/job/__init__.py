"""`xnode job` and `xnode offer`: buying compute."""
