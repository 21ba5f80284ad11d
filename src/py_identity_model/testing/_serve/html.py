"""What the site's pages are made of: escaped text, fields, and a document that runs no script and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from urllib.parse import urlsplit

from ..._core.base.flow import Reply
from .messages import page_headers

STYLE = (
    ":root{color-scheme:light dark;--line:color-mix(in srgb,CanvasText 22%,Canvas);"
    "--edge:color-mix(in srgb,CanvasText 55%,Canvas);"
    "--soft:color-mix(in srgb,CanvasText 5%,Canvas);--bad:light-dark(#b3261e,#f2b8b5)}"
    "*{box-sizing:border-box}"
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}"
    "header{border-bottom:1px solid var(--line);padding:.6rem 1.25rem;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}"
    "header a,nav a{display:inline-block;padding:.35rem 0}"
    "header b{padding:.35rem 0}"
    "main{max-width:58rem;margin:0 auto;padding:1.25rem}main.narrow{max-width:30rem}"
    "h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 .75rem}h2{font-size:1.15rem;margin:0 0 .5rem}"
    "h3{font-size:1rem;margin:1rem 0 .35rem}p{margin:0 0 .75rem}"
    "section,fieldset{border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin:0 0 1rem;min-width:0}"
    "legend{font-weight:600;padding:0 .35rem}"
    "code,pre,textarea,dd{font-family:ui-monospace,monospace;font-size:.875rem}"
    "code,dd,td{overflow-wrap:anywhere}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);padding:.6rem .75rem;border-radius:.375rem;"
    "margin:0 0 .75rem;max-height:28rem;overflow:auto}"
    "dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.2rem 1rem;margin:0 0 .75rem}"
    "dt{font-weight:600}dd{margin:0}"
    "ul,ol{margin:0 0 .75rem;padding-left:1.25rem}"
    "label{display:block;font-weight:600;margin:.6rem 0 .2rem}"
    "input,select,textarea{font:inherit;width:100%;padding:.5rem;border:1px solid var(--edge);"
    "border-radius:.375rem;background:Field;color:FieldText}"
    "textarea{min-height:6.5rem;font-family:ui-monospace,monospace;font-size:.875rem}"
    "button,a.go{font:inherit;display:inline-block;min-height:2.75rem;padding:.5rem 1rem;border:1px solid transparent;"
    "border-radius:.375rem;background:#0b57d0;color:#fff;text-decoration:none;cursor:pointer;margin:.75rem .5rem 0 0}"
    "button.plain{background:Canvas;color:CanvasText;border-color:var(--edge)}"
    "button.who{display:block;width:100%;text-align:left;margin:.5rem 0 0}"
    ":is(a,button,input,select,textarea,summary):focus-visible{outline:3px solid #1a73e8;outline-offset:2px}"
    "summary{cursor:pointer;padding:.35rem 0}"
    "form.inline{display:inline}"
    ".row{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:0 1rem;align-items:end}"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:0 1.5rem}"
    ".two>*{min-width:0}"
    ".bad{color:var(--bad);font-weight:600}[aria-invalid=true]{border:2px solid var(--bad)}"
    "small,.note{opacity:.85;font-size:.9rem}"
    "@media(max-width:34rem){dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .4rem}section{padding:.75rem}}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: Where an application may send people on after its callback: form-action holds for redirects too (CSP 3 6.4.2).
_NEIGHBOURS = ("http://localhost:*", "https://localhost:*", "http://127.0.0.1:*", "https://127.0.0.1:*")


def document(
    title: str,
    body: str,
    *,
    status: int = 200,
    links: Iterable[tuple[str, str]] = (),
    narrow: bool = False,
    leads_to: Sequence[str] = (),
    refresh: int | None = None,
) -> Reply:
    """Return a page.

    Args:
        title: Its title, as text.
        body: Its contents, as HTML.
        status: The HTTP status.
        links: Texts and addresses at its top.
        narrow: Whether it is a form of one column.
        leads_to: Addresses that its forms may lead to, beside its own site and this machine.
        refresh: Seconds after which it is asked for again.
    """
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    top = "".join(f'<a href="{escape(url)}">{escape(text)}</a>' for text, url in links)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><b>Test provider</b>{top}</header>"
        f"<main{' class=narrow' if narrow else ''}><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    sources = " ".join(dict.fromkeys(("'self'", *_NEIGHBOURS, *filter(None, map(_source, leads_to)))))
    fixed = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none'"
    policy = f"{fixed}; form-action {sources}"
    return Reply(status, page_headers(policy), page.encode("utf-8", "replace"))


def _source(url: str) -> str | None:
    """Return what a content security policy calls the place of a URL: its origin, or its scheme."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    scheme = parts.scheme if parts.scheme.replace(".", "").replace("-", "").replace("+", "").isalnum() else ""
    plain = parts.hostname and parts.hostname.replace(".", "").replace("-", "").replace("_", "").isalnum()
    if scheme in ("http", "https") and plain:
        return f"{scheme}://{parts.hostname}{port}"
    return f"{scheme}:" if scheme else None


def pairs(rows: Mapping[str, object]) -> str:
    """Return names and values as a list; nothing for no rows."""
    made = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in rows.items())
    return f"<dl>{made}</dl>" if made else ""


def form(action: str, fields: str, *, inline: bool = False) -> str:
    """Return a form that posts *fields*, which are HTML, to a path."""
    return f'<form method="post" action="{escape(action)}"{" class=inline" if inline else ""}>{fields}</form>'


def hidden(name: str, value: str) -> str:
    """Return a field that nobody sees."""
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def button(text: str, name: str = "", value: str = "", kind: str = "") -> str:
    """Return a button that sends *name* and *value*."""
    sent = f' name="{escape(name)}" value="{escape(value)}"' if name else ""
    return f"<button{sent}{f' class={kind}' if kind else ''}>{escape(text)}</button>"


def field(name: str, label: str, value: str = "", *, error: str | None = None, hint: str = "", more: str = "") -> str:
    """Return a line to type in, its label, its hint and what is wrong with it."""
    described, told = _described(name, error, hint)
    return (
        f'<label for="{name}">{escape(label)}</label>'
        f'<input id="{name}" name="{name}" value="{escape(value)}"{described}{more}>{told}'
    )


def area(name: str, label: str, value: str = "", *, error: str | None = None, hint: str = "") -> str:
    """Return several lines to type in, with label, hint and error."""
    described, told = _described(name, error, hint)
    return (
        f'<label for="{name}">{escape(label)}</label>'
        f'<textarea id="{name}" name="{name}" spellcheck="false"{described}>\n{escape(value)}</textarea>{told}'
    )


def choice(name: str, label: str, options: Mapping[str, str], chosen: str = "") -> str:
    """Return a list to choose from: values and their texts."""
    made = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options.items()
    )
    return f'<div><label for="{name}">{escape(label)}</label><select id="{name}" name="{name}">{made}</select></div>'


def _described(name: str, error: str | None, hint: str) -> tuple[str, str]:
    told = f'<p class="bad" id="{name}-error">{escape(error)}</p>' if error else ""
    told += f'<p class="note" id="{name}-hint">{escape(hint)}</p>' if hint else ""
    by = [f"{name}-error"] * bool(error) + [f"{name}-hint"] * bool(hint)
    described = f' aria-describedby="{" ".join(by)}"' if by else ""
    return described + (' aria-invalid="true"' if error else ""), told


__all__ = ["area", "button", "choice", "document", "field", "form", "hidden", "pairs"]
