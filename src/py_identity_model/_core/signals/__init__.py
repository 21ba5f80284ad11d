"""Signals: what others say about tokens, sessions and users that were accepted before (Shared Signals, revocation).

Open ``receiver`` first; ``events`` says what an event means, ``poll`` fetches those that nobody pushes.
"""
