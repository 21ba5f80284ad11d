"""What a client asks a provider for: tokens by every grant, introspection, revocation, UserInfo.

Open ``grants`` first; ``client_auth`` is how a client says who it is, ``form_post`` what goes out, ``token_response``
what comes back.
"""
