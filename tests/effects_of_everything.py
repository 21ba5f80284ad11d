"""Every public callable and its parameters, and the cases there are for them."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from typing import Any

import py_identity_model as p
from effects import Case, parameters
from effects_of_answers import ANSWERS
from effects_of_clients import CLIENTS
from effects_of_doctor import DOCTOR
from effects_of_functions import FUNCTIONS
from effects_of_gate import GATE
from effects_of_keys import KEYS
from effects_of_logins import LOGINS
from effects_of_objects import OBJECTS
from effects_of_requests import REQUESTS
from effects_of_settings import SETTINGS
from effects_of_validators import VALIDATORS
from effects_of_values import VALUES
from effects_of_web import WEB

#: Methods that another library wants to be there, and that refuse whatever comes.
ONLY_REFUSES = {"TokenAuth.auth_flow"}
MADE_BY_CLASS = (classmethod, staticmethod)
TABLES = (REQUESTS, ANSWERS, CLIENTS, DOCTOR, FUNCTIONS, GATE, KEYS, LOGINS, OBJECTS, SETTINGS, VALIDATORS, VALUES, WEB)
CASES: dict[str, Case] = {name: case for table in TABLES for name, case in table.items()}
assert len(CASES) == sum(map(len, TABLES)), "a callable has its cases in one table"

#: Classes whose values the library makes and hands out, or that only hold what they are given: their fields are the
#: answer. Responses, exceptions, enumerations, protocols and typed dictionaries are left out by their kind.
HANDED_OUT = {
    *("CacheCounters", "CacheInfo", "TokenCacheInfo", "ConfigIssue", "Config", "DPoPProof", "Event", "Identity"),
    *("IssuerHealth", "ValidatorHealth", "LogoutAnswer", "MemberFault", "PresentedToken", "Refusal", "ClientError"),
    *("StoreHealth", "MarksHealth"),
    *("ServedMetadata", "SessionCheck", "StateValidationResult", "ThirdPartyLogin", "WebFingerTarget", "Reply"),
    *("FAPIValidationResult", "DiscoveryEndpoint", "EndSessionForm", "FrontChannelLogout", "Challenge", "Request"),
    *("CibaNotification", "LoginTransaction", "AccessToken", "TokenAuth", "Principal", "BaseRequest", "ClientRequest"),
    *("Explanation", "ExplainedCheck", "Remedy", "Examination", "Finding"),
    *("SessionInfo", "WebAnswer"),
    *("SecurityEvent", "SignalAnswer", "TransmitterRequest", "LoginEndpoints", "ClientAssertionValidatorBase"),
    *("IdJag", "IdentityAssertion", "WorkloadRule"),
}


def is_left_out(cls: Any) -> bool:
    """Tell whether a class is of a kind whose parameters change nothing but what they say."""
    kinds = (BaseException, enum.Enum, p.BaseResponse, dict)
    return issubclass(cls, kinds) or getattr(cls, "_is_protocol", False) or cls.__name__ in HANDED_OUT


def methods(cls: Any) -> Iterator[str]:
    """Yield the names of the public methods of a class; those of other libraries are not ours."""
    for name in dir(cls):
        static = inspect.getattr_static(cls, name)
        ours = str(getattr(static, "__module__", "")).startswith(p.__name__)
        if ours and not name.startswith("_") and (inspect.isfunction(static) or isinstance(static, MADE_BY_CLASS)):
            yield name


def everything() -> Iterator[tuple[str, str]]:
    """Yield every public callable and each of its public parameters."""
    yield from ((name, each) for name, each in declared() if not each.startswith("_") and name not in ONLY_REFUSES)


def declared() -> Iterator[tuple[str, str]]:
    """Yield every public callable and each of its parameters."""
    for name in p.__all__:
        value = getattr(p, name)
        if getattr(value, "__name__", name) != name and getattr(p, value.__name__, None) is value:
            continue  # another name of what is looked at under its own
        if inspect.isfunction(value):
            yield from ((name, each) for each in parameters(value))
        if not inspect.isclass(value) or getattr(value, "_is_protocol", False):
            continue
        if not is_left_out(value):
            yield from ((name, each) for each in parameters(value))
        if not issubclass(value, (BaseException, enum.Enum, dict, p.BaseResponse)):
            for method in methods(value):
                if "Flow[" in str(inspect.signature(getattr(value, method)).return_annotation):
                    continue  # performed by functions of the doors
                yield from ((f"{name}.{method}", each) for each in parameters(getattr(value, method)))


def without_case() -> dict[str, list[str]]:
    """Return the parameters that have no case, by callable: a test elsewhere shows what they do."""
    missing: dict[str, list[str]] = {}
    for name, each in everything():
        if name not in CASES or each not in CASES[name].changes:
            missing.setdefault(name, []).append(each)
    return missing
