"""Control: the daemon's unix socket, its client, and the views that cross it."""
