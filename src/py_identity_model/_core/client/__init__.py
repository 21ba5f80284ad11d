"""What a client asks a provider for: tokens by every grant, introspection, revocation, UserInfo.

Open ``grants`` first; ``client_auth`` is how a client says who it is, ``token_response`` what comes back.
"""
