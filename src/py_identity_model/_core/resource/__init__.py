"""What a protected resource does: read tokens, check senders, publish metadata (RFC 6750, RFC 9728).

Open ``protected_resource`` first.
"""
