"""Backups of a platform: taking, verifying and restoring them, and moving a database to another server."""
