"""What a provider says of itself: metadata, its checks, and the keys behind it (OpenID Connect Discovery, RFC 8414).

Open ``fetch`` first; ``shared_fetch`` lets many processes fetch once, ``key_sources`` is where the keys of an issuer
come from.
"""
