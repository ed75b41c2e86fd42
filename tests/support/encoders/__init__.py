"""A tiny encoder for tests."""
