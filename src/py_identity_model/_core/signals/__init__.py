"""Signals: what others say about tokens, sessions and users that were accepted before (Shared Signals, revocation)."""
