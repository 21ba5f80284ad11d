"""A token taken apart as it is: header, payload, signature, disclosures, and notes on whatever is odd.

Nothing here verifies, fetches or refuses. What readers may disagree about is shown as the text it came as.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

#: Characters of a token at most; more is cut off, and said.
MAX_TOKEN: Final = 1_000_000
#: Notes that are made at most.
MAX_NOTES: Final = 50
#: Tokens within tokens that are taken apart.
MAX_NESTED: Final = 4
#: Digits of a number that is shown as a number; a longer one is shown as text.
_MAX_DIGITS: Final = 400
_WORD = re.compile(r"[A-Za-z0-9_-]*\Z")
_TIMES = ("exp", "nbf", "iat", "auth_time", "updated_at")
#: Header parameters that name or bring a key, and what to know about each.
_KEYS_IN_HEADERS = {
    "jku": "names a key set: not followed",
    "x5u": "names a certificate: not followed",
    "jwk": "brings a key of its own: worth nothing",
    "x5c": "brings a certificate of its own: worth nothing by itself",
}

Note = Callable[[str], object]


def decoded(text: str) -> dict[str, Any]:
    """Return what is in a token, as JSON has it.

    Args:
        text: The token: a JWS or JWE, compact or as JSON, an SD-JWT, or whatever else.

    Returns:
        ``form``, the parts, and ``notes`` where something is odd.
    """
    notes: dict[str, None] = {}  # each once, in order
    found = _form(_bare(text, notes.setdefault), notes.setdefault, 0)
    told = list(notes)[:MAX_NOTES]
    if len(notes) > MAX_NOTES:
        told.append(f"and {len(notes) - MAX_NOTES:,} more like these")
    return {**found, "notes": told} if told else found


def _bare(text: str, note: Note) -> str:
    if len(text) > MAX_TOKEN:
        note(f"only the first {MAX_TOKEN:,} of {len(text):,} characters are shown")
        text = text[:MAX_TOKEN]
    bare = text.strip().strip("\"'")
    scheme, _, rest = bare.partition(" ")
    if scheme.lower() in ("bearer", "dpop") and rest:
        note(f"the word {scheme} is no part of the token")
        bare = rest.strip()
    if any(each.isspace() for each in bare) and not bare.startswith("{"):
        note("there is white space within the token")
        bare = "".join(bare.split())
    return bare


def _form(text: str, note: Note, depth: int) -> dict[str, Any]:
    if text.startswith("{"):
        return _from_json(text, note, depth)
    if "~" in text:
        return _sd_jwt(text, note, depth)
    parts = text.split(".")
    if len(parts) == 3 and parts[0]:
        return _jws(parts, note, depth)
    if len(parts) == 5 and parts[0]:
        return _jwe(parts, note)
    if not text:
        note("there is no token")
        return {"form": "unknown", "characters": 0, "segments": 0}
    note("this is no JWT: an opaque token says nothing to anybody but its issuer (py-identity-model introspect)")
    return {"form": "unknown", "characters": len(text), "segments": len(parts)}


# ---------------------------------------------------------------------------------------------------------------------
# Forms


def _jws(parts: list[str], note: Note, depth: int) -> dict[str, Any]:
    header = _json_part(parts[0], "header", note)
    _look_at_header(header, note)
    payload = _payload(parts[1], header, note, depth)
    octets = _octets(parts[2], "signature", note)
    found: dict[str, Any] = {"form": "JWS", "header": header, "payload": payload, "signature": parts[2]}
    if not parts[2]:
        note("there is no signature")
    elif octets is not None:
        found["signature_octets"] = len(octets)
    times = _times(payload, note)
    return {**found, "times": times} if times else found


def _payload(part: str, header: Any, note: Note, depth: int) -> Any:
    if not part:
        note("there is no payload: it is detached, or was left out")
        return None
    if isinstance(header, dict) and header.get("b64") is False:  # RFC 7797
        return part
    kind = str(header.get("cty", "")).upper() if isinstance(header, dict) else ""
    octets = _octets(part, "payload", note)
    if octets is None:
        return part
    text = _text(octets)
    if text is not None and kind in ("JWT", "APPLICATION/JWT") and depth < MAX_NESTED:
        return _form(text, note, depth + 1)
    return _read(octets, "payload", note)


def _jwe(parts: list[str], note: Note) -> dict[str, Any]:
    header = _json_part(parts[0], "header", note)
    _look_at_header(header, note)
    note("the payload is encrypted: only who has the key can read it")
    names = ("encrypted_key", "iv", "ciphertext", "tag")
    return {"form": "JWE", "header": header, **dict(zip(names, parts[1:], strict=True))}


def _sd_jwt(text: str, note: Note, depth: int) -> dict[str, Any]:
    first, *rest = text.split("~")
    token = _form(first, note, depth + 1) if depth < MAX_NESTED else {"form": "unknown"}
    bound = rest.pop() if rest else ""
    disclosures = [_json_part(one, "disclosure", note) for one in rest]
    found: dict[str, Any] = {**token, "form": f"SD-JWT ({token['form']})", "disclosures": disclosures}
    if bound and depth < MAX_NESTED:
        found["key_binding"] = _form(bound, note, depth + 1)
    return found


def _from_json(text: str, note: Note, depth: int) -> dict[str, Any]:
    """A JWS or JWE in the JSON serializations (RFC 7515 7.2, RFC 7516 7.2)."""
    value = _read(text.encode("utf-8", "surrogatepass"), "token", note)
    if not isinstance(value, dict):
        return {"form": "unknown", "text": value}
    if "ciphertext" in value:
        _decode_members(value, note)
        note("the payload is encrypted: only who has the key can read it")
        return {"form": "JWE as JSON", **value}
    if "payload" not in value:
        note("this is JSON, but neither a JWS nor a JWE")
        return {"form": "unknown", "text": value}
    header = _decode_members(value, note)
    payload = value["payload"]
    if isinstance(payload, str):
        value["payload"] = _payload(payload, header, note, depth)
    times = _times(value["payload"], note)
    return {"form": "JWS as JSON", **value, **({"times": times} if times else {})}


def _decode_members(value: dict[str, Any], note: Note) -> Any:
    """Decode each protected header in place; return the first one."""
    signatures = value.get("signatures")
    places = [value, *(one for one in signatures if isinstance(one, dict))] if isinstance(signatures, list) else [value]
    found = None
    for place in places:
        if isinstance(place.get("protected"), str):
            place["protected"] = _json_part(place["protected"], "protected header", note)
            _look_at_header(place["protected"], note)
            found = found or place["protected"]
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Parts


def _json_part(part: str, what: str, note: Note) -> Any:
    octets = _octets(part, what, note)
    return part if octets is None else _read(octets, what, note)


def _octets(part: str, what: str, note: Note) -> bytes | None:
    """Decode base64url, as loosely as some reader would; None where nobody would."""
    if not _WORD.match(part):
        note(f"the {what} is not base64url as JOSE writes it")
    try:
        loose = part.translate(str.maketrans("+/", "-_")).rstrip("=").encode("ascii")
        found = base64.b64decode(loose + b"=" * (-len(loose) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != loose:
        note(f"the {what} has bits at its end that say nothing: it can be written in several ways")
    return found


def _text(octets: bytes) -> str | None:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None


def _read(octets: bytes, what: str, note: Note) -> Any:
    """Return the JSON in *octets*; the text, or base64, where it is none."""
    text = _text(octets)
    if text is None:
        note(f"the {what} is not UTF-8: it is shown in base64")
        return base64.b64encode(octets).decode()
    reader = _Reader(what, note)
    try:
        value = reader.decoder.decode(text.removeprefix("\ufeff"))
        json.dumps(value)  # as deep as this will be shown
    except RecursionError:
        note(f"the {what} is nested too deeply to be read: it is shown as text")
        return text
    except ValueError:
        note(f"the {what} is not JSON: it is shown as text")
        return text
    if text.startswith("\ufeff"):
        note(f"the {what} begins with a byte order mark")
    if not isinstance(value, dict) and what != "disclosure":
        note(f"the {what} is no JSON object")
    return value


class _Reader:
    """Reads JSON so that nothing is lost: of a member that comes twice, each value; of a long number, each digit."""

    def __init__(self, what: str, note: Note) -> None:
        self._what, self._note = what, note
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._number,
            parse_constant=self._constant,
            strict=False,
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                self._note(f"the {self._what} has {name!r} more than once: {json.dumps(found[name])} as well")
            found[name] = value
        return found

    def _integer(self, text: str) -> int | str:
        return int(text) if len(text) <= _MAX_DIGITS else self._odd(text)

    def _number(self, text: str) -> float | str:
        value = float(text) if len(text) <= _MAX_DIGITS else float("inf")
        return value if value not in (float("inf"), float("-inf")) else self._odd(text)

    def _constant(self, text: str) -> str:
        self._note(f"the {self._what} has {text}, which is not JSON")
        return text

    def _odd(self, text: str) -> str:
        self._note(f"the {self._what} has a number that no claim needs; it is shown as text")
        return text


# ---------------------------------------------------------------------------------------------------------------------
# What is odd


def _look_at_header(header: Any, note: Note) -> None:
    if not isinstance(header, dict):
        return
    if str(header.get("alg", "none")).lower() == "none":
        note("alg is none: nobody signed this")
    for name, why in _KEYS_IN_HEADERS.items():
        if name in header:
            note(f"{name} {why}")
    if "crit" in header:
        note("crit names extensions that every reader must understand")


def _times(payload: Any, note: Note) -> dict[str, str]:
    """Return the times of a payload as people read them."""
    if not isinstance(payload, dict):
        return {}
    found = dict(_written(payload))
    expires, begins, now = payload.get("exp"), payload.get("nbf"), time.time()
    if isinstance(expires, int | float) and expires <= now:
        note(f"it expired {_span(now - expires)} ago")
    if isinstance(begins, int | float) and begins > now:
        note(f"it is not valid for another {_span(begins - now)}")
    return found


def _written(payload: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _TIMES:
        value = payload.get(name)
        if _is_number(value):
            try:
                yield name, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))
            except (ValueError, OverflowError, OSError):
                yield name, "no time that a calendar has"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _span(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:,.0f} seconds"
