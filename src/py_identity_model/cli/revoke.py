"""The command ``revoke``: have the provider take a token back."""

from __future__ import annotations

from ._client import ClientOptions, raised
from ._secrets import read_secret
from ._shared import Json, say, show
from .introspect import Hint, TokenFile


def revoke(
    client: ClientOptions, token_file: TokenFile = None, token_type_hint: Hint = None, as_json: Json = False
) -> None:
    """Have the provider revoke a token (RFC 7009)."""
    token = read_secret(token_file, "token", "--token-file")
    raised(client.built(kept=False).revoke(token, token_type_hint=token_type_hint))
    if as_json:
        show({"revoked": True})
    say("revoked")
