"""The table of commands: what ``--help`` shows of each, and where to find it.

A command ``export-keys`` is the function ``export_keys`` of the module ``cli/export_keys.py``, which is imported only
when that command is called. The line here is the first line of the function's docstring.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One command: the heading it stands below, its line of help, and whether it waits for answers of others."""

    section: str
    help: str
    waits: bool = False


TOKENS, PROVIDERS, LOGINS, KEYS, DEVELOPMENT = "Tokens", "Providers", "Logins and grants", "Keys", "Development"

COMMANDS: dict[str, Row] = {
    "validate": Row(TOKENS, "Validate one token, or every token of a file."),
    "explain": Row(TOKENS, "Say why a token is refused, check by check, and what would help.", waits=True),
    "decode": Row(TOKENS, "Show what is in a token. Nothing is verified."),
    "doctor": Row(PROVIDERS, "Examine a provider, an API or an MCP server, and say what mends it."),
    "discover": Row(PROVIDERS, "Show a provider's metadata.", waits=True),
    "keys": Row(PROVIDERS, "Show a provider's keys.", waits=True),
    "export-keys": Row(PROVIDERS, "Write what providers say of their keys to a file.", waits=True),
    "token": Row(LOGINS, "Get an access token, and print it.", waits=True),
    "login": Row(LOGINS, "Log a user in, and keep the tokens."),
    "logout": Row(LOGINS, "End a login: its tokens are forgotten here, and revoked at the provider.", waits=True),
    "userinfo": Row(LOGINS, "Show what the provider says about the user of a login.", waits=True),
    "introspect": Row(LOGINS, "Ask the provider what a token means (RFC 7662).", waits=True),
    "revoke": Row(LOGINS, "Have the provider revoke a token (RFC 7009).", waits=True),
    "register": Row(LOGINS, "Register a client (RFC 7591).", waits=True),
    "keygen": Row(KEYS, "Make a signing key: the private half in a file, the public half on standard output."),
    "demo": Row(DEVELOPMENT, "Show the main job on a provider of its own: discovery, keys, tokens, refusals."),
    "attack": Row(DEVELOPMENT, "Send an API every token that it must refuse, and say which were let in."),
    "serve": Row(DEVELOPMENT, "Run an OpenID provider for developers and tests."),
}
