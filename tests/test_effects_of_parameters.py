"""Every parameter of every public callable does something: changed, it changes what is sent, returned or refused."""

from __future__ import annotations

import enum
import inspect
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import py_identity_model as p
from effects import DOORS, Case, When, observe, parameters
from effects_elsewhere import ELSEWHERE
from effects_of_functions import FUNCTIONS, write_files
from effects_of_gate import GATE
from effects_of_objects import OBJECTS
from effects_of_requests import REQUESTS
from effects_of_values import VALUES

NOW = 1_800_000_000
CASES: dict[str, Case] = {**REQUESTS, **FUNCTIONS, **OBJECTS, **VALUES, **GATE}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates and keys."""
    folder = tmp_path_factory.mktemp("pem")
    write_files(folder)
    return folder


@pytest.fixture
def fixed(clock: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, nothing is random, and files are at hand."""
    monkeypatch.chdir(files)
    clock.wall = float(NOW)
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size=32: "r" * (size * 4 // 3))
    monkeypatch.setattr(secrets, "token_bytes", lambda size=32: b"r" * size)


def pairs() -> Iterator[Any]:
    """Yield every case once for each parameter and each door that has a function of its own."""
    for name, case in CASES.items():
        for door, module in DOORS.items():
            owner = name.partition(".")[0]
            if door == "aio" and getattr(module, owner) is getattr(p, owner):
                continue
            for parameter in case.changes:
                yield pytest.param(module, name, parameter, id=f"{door}-{name}-{parameter}")


@pytest.mark.parametrize(("door", "name", "parameter"), list(pairs()))
def test_a_parameter_has_an_effect(door: Any, name: str, parameter: str, fixed: None) -> None:
    """Two calls that differ in one argument come to something different; the same call twice does not."""
    case = CASES[name]
    change = case.changes[parameter]
    value, given = (change.value, change.given) if isinstance(change, When) else (change, {})
    owner, _, method = name.partition(".")
    function = getattr(case.of(door), method) if case.of else getattr(getattr(door, owner), method or "__call__")
    function = function if method else getattr(door, owner)
    plain = case.base | given
    before = observe(door, function, case, plain)
    assert observe(door, function, case, plain) == before
    assert observe(door, function, case, plain | {parameter: value}) != before


# ---- nothing is left out

#: Classes whose values the library makes and hands out, or that only hold what they are given: their fields are the
#: answer. Responses, exceptions, enumerations, protocols and typed dictionaries are left out by their kind.
HANDED_OUT = {
    *("CacheCounters", "CacheInfo", "TokenCacheInfo", "ConfigIssue", "Config", "DPoPProof", "Event", "Identity"),
    *("IssuerHealth", "ValidatorHealth", "LogoutAnswer", "MemberFault", "PresentedToken", "Refusal", "ClientError"),
    *("StoreHealth", "MarksHealth"),
    *("ServedMetadata", "SessionCheck", "StateValidationResult", "ThirdPartyLogin", "WebFingerTarget", "Reply"),
    *("FAPIValidationResult", "DiscoveryEndpoint", "EndSessionForm", "FrontChannelLogout", "Challenge", "Request"),
    *("CibaNotification", "LoginTransaction", "AccessToken", "TokenAuth", "Principal", "BaseRequest", "ClientRequest"),
    *("SecurityEvent", "SignalAnswer", "TransmitterRequest"),
}


def is_left_out(cls: Any) -> bool:
    """Tell whether a class is of a kind whose parameters change nothing but what they say."""
    kinds = (BaseException, enum.Enum, p.BaseResponse, dict)
    return issubclass(cls, kinds) or getattr(cls, "_is_protocol", False) or cls.__name__ in HANDED_OUT


def methods(cls: Any) -> Iterator[str]:
    """Yield the names of the public methods of a class."""
    for name in dir(cls):
        static = inspect.getattr_static(cls, name)
        if not name.startswith("_") and (inspect.isfunction(static) or isinstance(static, classmethod | staticmethod)):
            yield name


def everything() -> Iterator[tuple[str, str]]:
    """Yield every public callable and each of its public parameters."""
    yield from ((name, each) for name, each in declared() if not each.startswith("_"))


def declared() -> Iterator[tuple[str, str]]:
    """Yield every public callable and each of its parameters."""
    for name in p.__all__:
        value = getattr(p, name)
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


def test_every_parameter_has_a_case() -> None:
    """A new parameter wants a line in a table: what it changes."""
    missing = [(name, each) for name, each in everything() if name not in CASES or each not in CASES[name].changes]
    assert [each for each in missing if each[1] not in ELSEWHERE.get(each[0], ("", []))[1]] == []


def test_no_case_is_left_behind() -> None:
    """A parameter that is gone takes its case along."""
    known = set(everything())
    assert [(name, each) for name, case in CASES.items() for each in case.changes if (name, each) not in known] == []


def test_cases_of_other_files_are_there() -> None:
    """What is tested elsewhere is named there; a parameter that is gone, or has a case here, leaves the table."""
    known = set(everything())
    for name, (file, listed) in ELSEWHERE.items():
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", text), name
        here = CASES[name].changes if name in CASES else {}
        assert [each for each in listed if (name, each) not in known or each in here] == [], name
