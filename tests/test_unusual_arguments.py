"""Each parameter of every case, with unusual values: a result, or one of our exceptions without a secret in it."""

from __future__ import annotations

import os
import random
import traceback
import warnings
import zlib
from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest

import py_identity_model as p
from effects import DOORS, Made, When, call, parameters, shown, wait
from effects_of_everything import CASES
from py_identity_model import PyIdentityModelException
from test_effects_of_parameters import NOW, files, fixed
from unusual import CANARY, MAKERS, OwnError

#: Values for each parameter; all of them with FUZZ_EXAMPLES at their number or more.
SAMPLE = min(int(os.environ.get("FUZZ_EXAMPLES", "2")), len(MAKERS))
SECRETS = {"client_secret", "secret", "password", "private_key", "code_verifier", "refresh_token", "access_token"}
SECRETS |= {"token", "assertion", "client_assertion", "subject_token", "actor_token", "key", "jwk", "device_code"}
#: What another library calls, and only with what is its own.
THEIRS = {"TokenAuth.async_auth_flow", "TokenAuth.sync_auth_flow"}
SOURCE = str(Path(p.__file__).parent)
TESTS = str(Path(__file__).parent)
__all__ = ["files", "fixed"]  # fixtures, which pytest looks for here


def callables() -> Iterator[Any]:
    """Yield every case once for each door that has a callable of its own."""
    for name in CASES.keys() - THEIRS:
        for door, module in DOORS.items():
            owner = name.partition(".")[0]
            if door == "sync" or getattr(module, owner) is not getattr(p, owner):
                yield pytest.param(module, name, id=f"{door}-{name}")


def chosen(name: str, parameter: str) -> list[int]:
    """Return which values are tried for a parameter: the same ones every time, and other ones for each."""
    return random.Random(zlib.crc32(f"{name} {parameter}".encode())).sample(range(len(MAKERS)), SAMPLE)


def attempt(door: Any, name: str, parameter: str, value: Any) -> None:
    """Call with one unusual value, and use the result."""
    case = CASES[name]
    change = case.changes[parameter]
    owner, _, method = name.partition(".")
    made = case.of(door) if case.of else getattr(door, owner)
    function = getattr(made, method) if method else made
    kind = parameters(function)[parameter].kind if parameter in parameters(function) else None
    if kind == Parameter.VAR_POSITIONAL:
        value = (value,)
    if kind == Parameter.VAR_KEYWORD:
        value = dict.fromkeys(change if isinstance(change, dict) else ["x"], value)
    given = case.base | (change.given if isinstance(change, When) else {}) | {parameter: value}
    given = {each: held.make() if isinstance(held, Made) else held for each, held in given.items()}
    for clear in (door.clear_discovery_cache, door.clear_jwks_cache):
        wait(clear())
    shown(case.use(door, call(function, given)))


def is_ours(error: BaseException) -> bool:
    """Tell whether the library raised this, or let it through, and no function of the tests did."""
    names = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    concerned = [name.startswith(SOURCE) for name in names if name.startswith((SOURCE, TESTS))]
    return bool(concerned) and concerned[-1]


def told(error: BaseException | None) -> Iterator[str]:
    """Yield what can be read of an error and of what it came from."""
    while error is not None:
        yield from (str(error), repr(error), "a codec's error, which holds the text" * isinstance(error, UnicodeError))
        error = error.__context__


def fault(door: Any, name: str, parameter: str, which: int) -> str | None:
    """Return what is wrong with the way an unusual value is met."""
    try:
        attempt(door, name, parameter, MAKERS[which]())
    except OwnError:
        return None
    except PyIdentityModelException as error:
        said = " ".join(told(error))
        leaked = "which holds the text" in said or "s" * 32 in said or (parameter in SECRETS and CANARY in said)
        return f"{parameter}, value {which}: leaks" if leaked else None
    except Exception as error:
        return f"{parameter}, value {which}: {type(error).__name__}: {error}" if is_ours(error) else None
    return None


@pytest.mark.parametrize(("door", "name"), sorted(callables(), key=lambda each: str(each.id)))
def test_unusual_values_are_met(door: Any, name: str, fixed: Any) -> None:  # the fixture of that name
    """Half characters, numbers of thousands of digits, lists deeper than the stack, values of any other type."""
    fixed.wall = float(NOW)
    without_network = {"http_client": {0}}  # None would ask the network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a setting warns of is no matter here
        found = [
            fault(door, name, parameter, which)
            for parameter in CASES[name].changes
            for which in chosen(name, parameter)
            if which not in without_network.get(parameter, ())
        ]
    assert [each for each in found if each] == []
