"""The command ``py-identity-model``.

``_commands`` is the table of commands; each is a function in the module of its name. Open ``app`` first.
"""
