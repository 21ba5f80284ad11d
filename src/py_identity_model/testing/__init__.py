"""The embedded provider and helpers for tests."""
