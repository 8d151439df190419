"""`xnode provider`: selling compute."""
