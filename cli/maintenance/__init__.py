"""Commands that keep a platform safe: backups, and moves to other hosts and servers."""
