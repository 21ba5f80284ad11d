"""How a client becomes known, and how a provider is found (RFC 7591, RFC 7592, WebFinger).

Open ``registration`` first; ``client_metadata`` is for clients whose identifier is a URL.
"""
