"""The table of commands: what ``--help`` shows of each, and where to find it.

A command ``export-keys`` is the function ``export_keys`` of the module ``cli/export_keys.py``, which is imported only
when that command is called. The line here is the first line of the function's docstring.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One command: the heading it stands below, and its line of help."""

    section: str
    help: str


TOKENS, PROVIDERS, LOGINS, KEYS, DEVELOPMENT = "Tokens", "Providers", "Logins and grants", "Keys", "Development"

COMMANDS: dict[str, Row] = {
    "validate": Row(TOKENS, "Validate one token, or every token of a file."),
    "explain": Row(TOKENS, "Say why a token is refused, check by check, and what would help."),
    "decode": Row(TOKENS, "Show what is in a token. Nothing is verified."),
    "doctor": Row(PROVIDERS, "Examine a provider, an API or an MCP server, and say what mends it."),
    "discover": Row(PROVIDERS, "Show a provider's metadata."),
    "keys": Row(PROVIDERS, "Show a provider's keys."),
    "export-keys": Row(PROVIDERS, "Write what providers say of their keys to a file."),
    "token": Row(LOGINS, "Get an access token, and print it."),
    "login": Row(LOGINS, "Log a user in, and keep the tokens."),
    "logout": Row(LOGINS, "End a login: its tokens are forgotten here, and revoked at the provider."),
    "userinfo": Row(LOGINS, "Show what the provider says about the user of a login."),
    "introspect": Row(LOGINS, "Ask the provider what a token means (RFC 7662)."),
    "revoke": Row(LOGINS, "Have the provider revoke a token (RFC 7009)."),
    "register": Row(LOGINS, "Register a client (RFC 7591)."),
    "keygen": Row(KEYS, "Make a signing key: the private half in a file, the public half on standard output."),
    "demo": Row(DEVELOPMENT, "Show the main job on a provider of its own: discovery, keys, tokens, refusals."),
    "attack": Row(DEVELOPMENT, "Send an API every token that it must refuse, and say which were let in."),
    "serve": Row(DEVELOPMENT, "Run an OpenID provider for developers and tests."),
}
