"""The command ``py-identity-model``.

Open ``app`` first.
"""
