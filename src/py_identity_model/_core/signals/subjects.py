"""Subject identifiers, and which tokens they name where there can be no doubt (RFC 9493, SSF 1.0 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from ..._refusals import refused
from ...exceptions import TokenValidationException
from ..validation.revocations import Revoked

#: A subject identifier as it came: ``format``, and what belongs to it.
Subject = Mapping[str, Any]
#: Whether an event is about a session or about an account with all that it has.
RevocationScope = Literal["session", "account"]

#: Identifiers of one ``aliases`` subject, at most.
MAX_ALIASES = 16
#: Characters of one value, at most.
MAX_VALUE = 2048
#: RFC 9493 3.2 and SSF 1.0 3.5: what must be there, as text.
_MEMBERS = {
    "account": ("uri",),
    "did": ("url",),
    "email": ("email",),
    "iss_sub": ("iss", "sub"),
    "jwt_id": ("iss", "jti"),
    "opaque": ("id",),
    "phone_number": ("phone_number",),
    "saml_assertion_id": ("issuer", "assertion_id"),
    "uri": ("uri",),
}
#: Members of a complex subject beside which a session, or a user, is no less than itself. An ``application`` is not
#: among them: it names a part of what the session is used for.
_SURROUNDINGS = frozenset({"user", "session", "device", "tenant", "org_unit", "group"})


class Named(NamedTuple):
    """What a subject names: the tokens, or why that cannot be told."""

    marks: tuple[Revoked, ...] = ()
    unresolved: str | None = None


def check_subject(subject: object, *, nested: bool = False) -> Subject:
    """Return a subject identifier that has the shape of its format; one of an unknown format is any object.

    Raises:
        TokenValidationException: It has not.
    """
    if not isinstance(subject, Mapping):
        raise _refused("A subject must be an object")
    form = subject.get("format")
    if form == "complex" or (form is None and is_complex(subject)):
        members = [value for name, value in subject.items() if name != "format"]
        if nested or not members:
            raise _refused("A complex subject has members, and is none itself")
        for member in members:
            check_subject(member, nested=True)
    elif form == "aliases":
        listed = subject.get("identifiers")
        # RFC 9493 3.2.8: an aliases subject must not be nested in one.
        if nested or not isinstance(listed, list) or not 0 < len(listed) <= MAX_ALIASES:
            raise _refused(f"aliases has 1 to {MAX_ALIASES} identifiers")
        for one in listed:
            check_subject(one, nested=True)
    elif not isinstance(form, str) or not form:
        raise _refused("A subject names its format")
    for name in _MEMBERS.get(form, ()) if isinstance(form, str) else ():
        value = subject.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_VALUE:
            raise _refused(f"A subject of the format {form} has {name}, a string")
    return subject


def is_complex(subject: Subject) -> bool:
    """Tell whether a subject is complex: it says so, or has nothing but named subjects, as older events have it."""
    if "format" in subject:
        return bool(subject["format"] == "complex")
    return bool(subject) and all(isinstance(value, Mapping) for value in subject.values())


def name_tokens(
    subject: Subject,
    scope: RevocationScope,
    issuers: Sequence[str],
    before: float,
    critical: frozenset[str] = frozenset(),
) -> Named:
    """Return the tokens that a subject names.

    Args:
        subject: A subject that was checked.
        scope: What the event is about.
        issuers: Whose tokens the sender may speak of.
        before: Tokens of users count if they were issued earlier, in seconds since 1970; sessions do not come back.
        critical: Members of complex subjects that must be understood (SSF 1.0 3.6).
    """
    if is_complex(subject):
        return _complex(subject, scope, issuers, before, critical)
    form = subject["format"]
    if form == "aliases":
        return _aliases(subject["identifiers"], issuers, before)
    if form not in ("iss_sub", "jwt_id"):
        return Named(unresolved="ambiguous")
    if subject["iss"] not in issuers:
        return Named(unresolved="foreign")
    if form == "jwt_id":
        return Named((Revoked(jti=subject["jti"], iss=subject["iss"]),))
    return Named((Revoked(sub=subject["sub"], iss=subject["iss"], before=before),))


def _aliases(identifiers: Sequence[Subject], issuers: Sequence[str], before: float) -> Named:
    # They are all of one subject: whichever names tokens names its tokens.
    found = [name_tokens(one, "account", issuers, before) for one in identifiers]
    marks = tuple(mark for one in found for mark in one.marks)
    foreign = any(one.unresolved == "foreign" for one in found)
    return Named(marks) if marks else Named(unresolved="foreign" if foreign else "ambiguous")


def _complex(
    subject: Subject, scope: RevocationScope, issuers: Sequence[str], before: float, critical: frozenset[str]
) -> Named:
    names = frozenset(subject) - {"format"}
    if names & critical - {"user", "session"}:
        return Named(unresolved="critical")
    if not names <= _SURROUNDINGS:
        return Named(unresolved="ambiguous")
    user = name_tokens(subject["user"], "account", issuers, before) if "user" in names else Named()
    if scope == "account" or names == {"user"}:
        return user if user.marks or user.unresolved else Named(unresolved="ambiguous")
    session = subject.get("session")
    if session is None or user.unresolved == "foreign":
        return Named(unresolved="foreign" if user.unresolved == "foreign" else "ambiguous")
    if session["format"] == "jwt_id":
        return name_tokens(session, "session", issuers, before)
    if session["format"] != "opaque":
        return Named(unresolved="ambiguous")
    owners = [mark.iss for mark in user.marks] or list(issuers)
    return Named(tuple(Revoked(sid=session["id"], iss=iss) for iss in dict.fromkeys(owners)))


_refused = partial(refused, TokenValidationException, "event_subject_invalid", claim="sub_id", token_part="payload")

__all__ = ["MAX_ALIASES", "Named", "RevocationScope", "Subject", "check_subject", "is_complex", "name_tokens"]
