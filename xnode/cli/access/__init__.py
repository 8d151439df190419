"""Access: the one way by which commands open what they need: which deployment, which wallet, then a session that pays."""
