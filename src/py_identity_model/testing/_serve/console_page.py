"""The first page of an issuer: how to connect, what is played now, and everything that a click can change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from ..._core.base.flow import Reply
from .._documents import EVERYWHERE
from .._faults import FAULTS
from .._records import Playing
from . import html
from .issuer import ServedIssuer

_TIMES = {"1": "once", "3": "three times", "": "until it is stopped"}


def console_page(
    issuer: ServedIssuer,
    path: str,
    *,
    links: Sequence[tuple[str, str]],
    others: Sequence[tuple[str, str]],
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Reply:
    """Return the page.

    Args:
        issuer: Of which issuer.
        path: What its forms post to.
        links: Texts and addresses at its top.
        others: Names and addresses of the other issuers.
        typed: What was typed into a form that was wrong.
        errors: What was wrong with it, by field.
    """
    typed, errors = typed or {}, errors or {}
    body = (
        f"{_broken_file(issuer)}{_connect(issuer)}{_others(others)}{_queue(issuer, path, typed, errors)}"
        f"{_faults(issuer, path, errors)}{_keys(issuer, path)}{_clock(issuer, path)}{_users(issuer)}{_reset(path)}"
    )
    title = issuer.name or "Issuer at the root"
    return html.document(title, body, status=422 if errors else 200, links=links)


def _broken_file(issuer: ServedIssuer) -> str:
    broken = issuer.options.file.error
    if broken is None:
        return ""
    where = f" at {broken.claim}" if broken.claim else ""
    told = f"The file of --claims is broken{where}: {broken.message}. What it said before still holds."
    return f'<p class="bad" role="alert">{escape(told)}</p>'


def _connect(issuer: ServedIssuer) -> str:
    clients = issuer.clients()
    taken = "any, with any secret or none" if issuer.options.open_clients else "those that are registered"
    facts = {
        "Issuer": issuer.issuer,
        "Metadata": issuer.url("discovery"),
        "Keys": issuer.url("jwks"),
        "Clients": taken + (f"; registered: {', '.join(clients)}" if clients else ""),
        "Audience": issuer.audience,
        "Control API": f"{issuer.issuer.rstrip('/')}/_control",
    }
    return f'<section id="connect"><h2>Connect</h2>{html.pairs(facts)}</section>'


def _others(others: Sequence[tuple[str, str]]) -> str:
    made = "".join(f'<li><a href="{escape(url)}">{escape(name)}</a></li>' for name, url in others)
    more = "<p class=note>Any name in the first path segment makes another issuer, with keys of its own.</p>"
    return f"<section><h2>Other issuers</h2>{f'<ul>{made}</ul>' if made else ''}{more}</section>"


def _queue(issuer: ServedIssuer, path: str, typed: Mapping[str, str], errors: Mapping[str, str]) -> str:
    waiting = "".join(
        f"<li>{escape(each.error or each.subject or issuer.subject)} "
        f"<code>{escape(json.dumps(dict(each.claims))[:200])}</code></li>"
        for each in issuer.queue.all()[:20]
    )
    fields = (
        html.field("subject", "Subject", typed.get("subject", ""))
        + html.area("claims", "Claims", typed.get("claims", ""), error=errors.get("claims"), hint="A JSON object.")
        + html.field("error", "Or an error", typed.get("error", ""), hint="For example access_denied.")
        + html.button("Queue", "do", "queue")
    )
    clear = html.button("Clear", "do", "clear_queue", "plain") if waiting else ""
    shown = f"<ol>{waiting}</ol>" if waiting else "<p>No login waits: people log in on the page.</p>"
    return f'<section id="queue"><h2>Next login</h2>{shown}{html.form(path, fields + clear)}</section>'


def _playing(path: str, number: int, playing: Playing) -> str:
    where = ", ".join(sorted(playing.fault.on or {"every endpoint"}))
    left = "until it is stopped" if playing.left is None else f"{playing.left} more"
    stop = html.form(path, html.hidden("fault", str(number)) + html.button("Stop", "do", "stop", "plain"), inline=True)
    told = f"at {escape(where)}, {left}, struck {playing.hits} times"
    return f"<li><b>{escape(playing.fault.name)}</b> {told} {stop}</li>"


def _faults(issuer: ServedIssuer, path: str, errors: Mapping[str, str]) -> str:
    playing = "".join(_playing(path, number, each) for number, each in issuer.faults_at_play().items())
    choices = {name: f"{name}: {row.summary}" for name, row in FAULTS.items()}
    where = {"": "where it makes sense", **{name: name for name in EVERYWHERE}}
    fields = (
        html.choice("fault", "Fault", choices)
        + f'<div class="row">{html.choice("on", "At", where)}{html.choice("times", "How often", _TIMES)}</div>'
        + html.button("Play", "do", "play")
    )
    wrong = f'<p class="bad" role="alert">{escape(errors["fault"])}</p>' if "fault" in errors else ""
    shown = f"<ul>{playing}</ul>" if playing else "<p>None is played.</p>"
    return f'<section id="faults"><h2>Faults</h2>{wrong}{shown}{html.form(path, fields)}</section>'


def _keys(issuer: ServedIssuer, path: str) -> str:
    held = "".join(
        f"<li><code>{escape(each.kid or '')}</code>{'' if each.published else ', not published'}</li>"
        for each in issuer.held_keys()
    )
    buttons = html.button("Rotate", "do", "rotate") + html.button("Rotate, drop the old", "do", "replace", "plain")
    hidden = html.button("Rotate, publish later", "do", "hide", "plain") + html.button(
        "Publish", "do", "publish", "plain"
    )
    return f'<section id="keys"><h2>Keys</h2><ul>{held}</ul>{html.form(path, buttons + hidden)}</section>'


def _clock(issuer: ServedIssuer, path: str) -> str:
    now = datetime.fromtimestamp(issuer.now(), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    steps = {"300": "5 minutes on", "3600": "An hour on", "86400": "A day on"}
    buttons = "".join(html.button(text, "advance", seconds, "plain") for seconds, text in steps.items())
    stand = (
        html.button("Run", "frozen", "no", "plain")
        if issuer.clock.frozen
        else html.button("Stop", "frozen", "yes", "plain")
    )
    fields = html.hidden("do", "clock") + buttons + stand + html.button("Real time", "real", "yes", "plain")
    state = ", standing still" if issuer.clock.frozen else ""
    return f'<section id="clock"><h2>Clock</h2><p>{now}{state}</p>{html.form(path, fields)}</section>'


def _users(issuer: ServedIssuer) -> str:
    rows = "".join(
        f"<dt>{escape(sub)}</dt><dd>{escape(json.dumps(claims, ensure_ascii=False)[:500])}</dd>"
        for sub, claims in list(issuer.users().items())[:50]
    )
    return f'<section id="users"><h2>Users</h2><dl>{rows}</dl></section>'


def _reset(path: str) -> str:
    told = "<p>Faults, clock, next logins, steps and sessions go back to the start.</p>"
    return (
        f"<section><h2>Start again</h2>{told}{html.form(path, html.button('Reset', 'do', 'reset', 'plain'))}</section>"
    )


__all__ = ["console_page"]
