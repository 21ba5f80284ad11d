"""What the library advises, in the words of the command line: ``--audience`` in place of ``audience=``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection
from typing import Any

#: What stands in hints for a call, and the command that does it.
_VERBS = (
    (r"call (?:begin_login|loopback_login)\(\)", "run py-identity-model login"),
    (r"call device_login\(\)", "run py-identity-model login --device"),
    (r"device_login\(\) needs none", "login --device needs none"),
    (r"(?:begin_login|loopback_login)\(\)", "login"),
    (r"device_login\(\)", "login --device"),
    (r"pass it as backend if that is meant, or SqliteStore an encryption_key of yours", "--store file needs none"),
    (r"on a server take SqliteStore", "on a server take --store file"),
    (r"restart=True \(--restart\)", "--restart"),
    (r"TokenValidator\(\[\.\.\.\]\)", "with another --issuer"),
)
_CALL = re.compile(r"\bTokenValidator\(\.\.\., (?P<inner>[^()]*)\)")
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_SETTING = re.compile(rf"\b(?P<name>[a-z_]+)=(?P<value>True|{_TEXT}|\[(?:\.\.\.|{_TEXT}|, )*\]|\.\.\.|\d+(?:\.\d+)?)")


def in_options(text: str, names: Collection[str]) -> str:
    """Return *text* with the options of a command in place of the arguments of Python.

    Args:
        text: A hint, a remedy, a setting.
        names: The names of the command's options, as Python has them; others are left as they are.

    >>> in_options("audience=[..., 'api'] names it too", {"audience"})
    '--audience api, beside the others names it too'
    >>> in_options("accept_any_audience=True gives the check up", {"accept_any_audience"})
    '--accept-any-audience gives the check up'
    """
    for pattern, said in _VERBS:
        text = re.sub(pattern, said, text)
    text = _CALL.sub(lambda found: found["inner"], text)
    return _SETTING.sub(_option(names), text)


def _option(names: Collection[str]) -> Callable[[re.Match[str]], str]:
    def written(found: re.Match[str]) -> str:
        if found["name"] not in names:
            return found[0]
        flag, value = f"--{found['name'].replace('_', '-')}", found["value"]
        if value == "True":
            return flag
        texts = [_quoted(one) for one in re.findall(_TEXT, value)]
        if not texts:
            return flag if value == "..." else f"{flag} {value}"
        beside = ", beside the others" if "..." in value else ""
        return " ".join(f"{flag} {text}" for text in texts) + beside

    return written


def _quoted(literal: str) -> str:
    return shlex.quote(literal[1:-1])


def option_names(command: Any) -> frozenset[str]:
    """Return the names of a command's options, as Python has them."""
    return frozenset(str(parameter.name) for parameter in getattr(command, "params", ()))
