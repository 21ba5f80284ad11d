"""Explain: why a token is refused, every check with what was expected and what came, and the change that would help.

Open ``walk`` first; ``causes`` and ``shapes`` know what is usually the matter, ``explanation`` is what comes out.
"""
