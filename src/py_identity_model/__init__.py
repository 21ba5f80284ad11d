"""OpenID Connect and OAuth 2 for Python: token validation at the speed of the cryptography, sync and async."""
