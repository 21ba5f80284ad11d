"""The ``options`` of the published configuration: a dict that earlier versions handed on to PyJWT.

What is harmless or stricter is done or taken as said; what would weaken a check that is never given up is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..._refusals import must_be
from ...exceptions import ConfigurationException, printable
from .claim_checks import seconds

#: Checks that cannot be turned off, and those that may be because it is spelled out.
_ALWAYS = ("verify_signature", "verify_exp", "verify_nbf", "verify_iat", "verify_sub", "verify_jti")
_SPELLED_OUT = ("verify_aud", "verify_iss")
#: Switches that change nothing: ``at_hash`` is compared where an access token is given, weak keys are never taken.
_NO_MATTER = ("verify_at_hash", "enforce_minimum_key_length")
_SWITCHES = frozenset((*_ALWAYS, *_SPELLED_OUT, *_NO_MATTER, "strict_aud"))
_REQUIRE = "require_"


@dataclass(frozen=True, kw_only=True)
class PublishedOptions:
    """What the options ask for.

    Attributes:
        check_audience: Whether ``aud`` is checked.
        check_issuer: Whether ``iss`` is checked.
        one_audience: Whether ``aud`` must be one string, no list.
        required: Claims that must be present.
        leeway: Seconds of clock difference, where the configuration itself names none.
    """

    check_audience: bool = True
    check_issuer: bool = True
    one_audience: bool = False
    required: frozenset[str] = frozenset()
    leeway: float | None = None


def read_options(options: object) -> PublishedOptions:
    """Read the options of a configuration.

    Raises:
        ConfigurationException: One is unknown, of the wrong type, or gives up a check that is never given up.
    """
    if options is None:
        return PublishedOptions()
    if not isinstance(options, dict):
        raise must_be("options", "a dict", options)
    for name, value in options.items():
        _check(name, value)
    leeway = options.get("leeway")
    single = frozenset(n.removeprefix(_REQUIRE) for n, v in options.items() if n.startswith(_REQUIRE) and v)
    return PublishedOptions(
        check_audience=options.get("verify_aud", True),
        check_issuer=options.get("verify_iss", True),
        one_audience=options.get("strict_aud", False),
        required=_listed(options.get("require")) | single,
        leeway=None if leeway is None else seconds(leeway, "options['leeway']"),
    )


def _check(name: object, value: object) -> None:
    if name in ("require", "leeway"):
        return
    known = isinstance(name, str) and (name in _SWITCHES or name.removeprefix(_REQUIRE) not in ("", name))
    if not known:
        names = ", ".join((*sorted(_SWITCHES), "require", "require_<claim>", "leeway"))
        raise must_be(f"options[{printable(name)!r}]", f"one of {names}", value)
    if not isinstance(value, bool):
        raise must_be(f"options[{printable(name)!r}]", "True or False", value)
    if not value and name in _ALWAYS:
        raise ConfigurationException(
            f"{name} cannot be turned off", code="check_mandatory", claim=str(name), expected=True, actual=False
        )


def _listed(required: object) -> frozenset[str]:
    if required is None:
        return frozenset()
    if not isinstance(required, list | tuple | set | frozenset) or not all(isinstance(r, str) and r for r in required):
        raise must_be("options['require']", "a list of claim names", required)
    return frozenset(required)


__all__ = ["PublishedOptions", "read_options"]
