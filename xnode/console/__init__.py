"""Console: answers the control socket. Reads the loop's state; changes it only by changes."""
