"""What was given in place of a token: what stands around one, and what only looks like one."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from ...exceptions import TokenValidationException
from ..base.base64url import Base64Error, b64url_decode
from ..base.strict_json import StrictJSONError, loads_object
from ..validation.hints import Cause

_GITHUB: Final = "a GitHub token is for GitHub's API; of Actions ask an ID token (permissions: id-token: write)"
_GITLAB: Final = "a GitLab token is for GitLab's API; a job gets a JWT by id_tokens:, with an aud"
_GOOGLE: Final = "a Google access token is for Google's own APIs; send the ID token, or ask UserInfo"
_HYDRA: Final = "an opaque token of Ory Hydra: strategies.access_token: jwt, or ask by introspection"
#: Prefixes by which tokens that are no JWT are known.
_OPAQUE: Final = (
    (("ya29.",), "google_access_token", _GOOGLE),
    (("ory_at_",), "hydra_opaque_token", _HYDRA),
    (("ory_ac_",), "authorization_code", "an authorization code: the client exchanges it at the token endpoint"),
    (("ory_rt_",), "refresh_token_sent", "a refresh token, which goes to the token endpoint only"),
    (("gho_", "ghp_", "ghs_", "ghu_", "github_pat_"), "github_token", _GITHUB),
    (("glpat-", "glcbt-", "gloas-"), "gitlab_token", _GITLAB),
    (tuple(f"v{n}.{use}." for n in range(1, 5) for use in ("public", "local")), "paseto", "a PASETO, which is no JWT"),
    (("PHNhbW", "<"), "saml_assertion", "XML, such as a SAML assertion or a page, which is no JWT"),
)
_QUOTES: Final = "\"'`\u201c\u201d\u2018\u2019"
_SCHEMES: Final = ("bearer", "dpop", "token", "jwt")
_WHITE: Final = re.compile(r"\s+")
#: Characters of what is looked at, at most.
LONGEST: Final = 1 << 17


class Shape(NamedTuple):
    """A token as it may have been meant, and what was done to it."""

    token: str
    cause: Cause | None = None

    @property
    def tells(self) -> bool:
        """Whether the cause says what was given, also where it is no token even so."""
        return self.cause is not None and self.cause.name == "aws_load_balancer_token"


def meant(given: str) -> Shape:
    """Return the compact JWS that *given* holds, with what has to be taken away for that.

    Only what is around a token, or was done to all of it on its way, is undone; nothing inside is guessed.
    """
    if len(given) > LONGEST:
        return Shape(given)
    token, cause = given, None
    for undo in (_bare, _unescaped, _without_breaks, _without_padding):
        undone, found = undo(token)
        if found is not None:
            token, cause = undone, cause or found
    return Shape(token, cause)


def _bare(given: str) -> tuple[str, Cause | None]:
    token = given.strip().strip(_QUOTES).strip()
    word, _, rest = token.partition(" ")
    if rest and word.lower().rstrip(":") in (*_SCHEMES, "authorization"):
        inner, cause = _bare(rest)
        twice = cause is not None and cause.name == "scheme_word"
        name, text = "scheme_word", f"give the token alone, without the word {word}"
        return inner, Cause("scheme_word_twice", f"{text}, which is there twice") if twice else Cause(name, text)
    if len(token) == len(given):
        return given, None
    quoted = len(given.strip()) != len(token)
    text = "give the token alone, without " + ("the quotes around it" if quoted else "the white space around it")
    return token, Cause("quotes_around" if quoted else "white_space_around", text)


def _unescaped(given: str) -> tuple[str, Cause | None]:
    if "%" not in given:
        return given, None
    return unquote(given), Cause("token_percent_encoded", "the token was percent-encoded: a header takes it as it is")


def _without_breaks(given: str) -> tuple[str, Cause | None]:
    if not _WHITE.search(given):
        return given, None
    text = "there is white space inside the token: it was wrapped, or copied over several lines"
    return _WHITE.sub("", given), Cause("white_space_inside", text)


def _without_padding(given: str) -> tuple[str, Cause | None]:
    if given.count(".") != 2 or not ({"=", "+", "/"} & set(given)):
        return given, None
    if "=" in given and _is_load_balancers(given):
        text = (
            "the header x-amzn-oidc-data of an AWS load balancer is padded, which no JWT is, and signed by a key of "
            "the load balancer (public-keys.auth.elb.REGION.amazonaws.com/KID): take x-amzn-oidc-accesstoken, or "
            "AlbDataValidator"
        )
        return given, Cause("aws_load_balancer_token", text)
    text = (
        "the token is in base64 with + / or =, not in base64url without padding (RFC 7515 2): its issuer must mend that"
    )
    return given.replace("+", "-").replace("/", "_").replace("=", ""), Cause("token_base64", text)


def _is_load_balancers(given: str) -> bool:
    header = _header(given)
    return "signer" in header and str(header.get("signer")).startswith("arn:aws")


def _header(given: str) -> dict[str, object]:
    try:
        return loads_object(b64url_decode(given.partition(".")[0].rstrip("=")))
    except (Base64Error, StrictJSONError, ValueError):
        return {}


def unreadable_cause(token: str, error: TokenValidationException) -> Cause:
    """Return what something is that cannot be read as a token."""
    if error.code == "token_encrypted":
        return _encrypted(token)
    for prefixes, name, text in _OPAQUE:
        if token.startswith(prefixes):
            return Cause(name, text)
    if not token:
        return Cause(
            "token_empty", "the token is empty: the client sends a header without one, or a variable is not set"
        )
    if token.lower() in ("null", "undefined", "none", "[object object]", "false"):
        return Cause("token_is_a_word", "a word of the client's language, in place of a token that it does not have")
    if token[:1] in "{[":
        text = "this looks like JSON: give access_token out of the response, or the compact serialization (RFC 7519 3)"
        return Cause("token_is_json", text)
    if "." not in token:
        text = (
            "this looks like an opaque token: ask its issuer (introspection, RFC 7662), or have it issue JWTs: Auth0 "
            "where the client asks for an audience, Zitadel by a setting of the application"
        )
        return Cause("opaque_token", text)
    if _header(token):
        return Cause("token_truncated", "the header is that of a JWT, the rest is not: the token was cut or changed")
    return Cause(error.code, error.hint or "this is no compact JWS: three segments of base64url between dots")


def _encrypted(token: str) -> Cause:
    header = _header(token)
    if header.get("alg") == "dir" and ".auth0.com" in str(header.get("iss")):
        text = "Auth0 encrypts access tokens for itself unless the client asks for an API: the parameter audience"
        return Cause("auth0_without_audience", text)
    text = (
        "the token is encrypted: have the provider sign access tokens only (zitadel/oidc: a JWT signer), ask it by "
        "introspection, or decrypt with the extra [jwe]"
    )
    return Cause("token_encrypted", text)


__all__ = ["Shape", "meant", "unreadable_cause"]
