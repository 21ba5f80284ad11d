"""What a provider says of itself: metadata, its checks, and the keys behind it (OpenID Connect Discovery, RFC 8414).

Open ``fetch`` first; ``key_sources`` joins metadata and key sets under the cache.
"""
