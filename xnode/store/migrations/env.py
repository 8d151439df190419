"""Alembic's entry: runs on the connection that the store gives, nothing else."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
