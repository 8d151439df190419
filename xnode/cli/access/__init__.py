"""Access: opens what a command needs: the deployment, a wallet, a session that pays."""
