"""What the site is made with: the pages of the reference, links that need not be written, copies for other readers.

Every page has a plain Markdown copy beside it (``.../index.md``); ``llms.txt`` lists them and ``llms-full.txt`` holds
them all (https://llmstxt.org).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import docs_reference
from docs_reference import to_markdown

__all__ = ["on_page_content", "on_page_markdown", "on_post_build", "to_markdown"]

#: Where the index of all public names goes.
INDEX = "<!-- every public name -->"
ROOT = Path(__file__).resolve().parent.parent
ERRORS = ROOT / "docs" / "reference" / "errors.md"
#: Where a whole program goes.
_PROGRAM = re.compile(r"<!-- program: (examples/[\w/]+\.py) -->")
#: Tags between which nothing is linked; what stands between any tags.
_UNLINKED = re.compile(r"<(/?)(a|pre|code|h[1-6]|svg|script|style)\b[^>]*>|<[^>]+>|[^<]+", re.DOTALL)
_RFC = re.compile(r"\bRFC (\d{4,5})((?: |, section )(\d+(?:\.\d+)*))?(?![\w-])")
_CODE_ROW = re.compile(r"<tr>\s*<td><code>([a-z0-9_]+)</code></td>")
_PICTURE = re.compile(r'<img alt="([^"]*)" src="([^"]+)\.svg" />')

#: The Markdown of each page as it was rendered, by the path of the page in the site.
_copies: dict[str, str] = {}


def codes() -> set[str]:
    """Return every error code that the errors reference explains."""
    return set(re.findall(r"^\| `([a-z0-9]+_[a-z0-9_]+)` \|", ERRORS.read_text(encoding="utf-8"), re.MULTILINE))


def on_page_markdown(markdown: str, page: Any = None, **_: Any) -> str:
    """Fill in the names of a page of the reference; mkdocs calls this for every page."""
    markdown = _PROGRAM.sub(lambda found: f"```python\n{(ROOT / found[1]).read_text(encoding='utf-8')}```", markdown)
    if INDEX in markdown:
        markdown = markdown.replace(INDEX, docs_reference.index())
    copy = markdown
    if docs_reference.NAMES.search(markdown):
        copy = docs_reference.NAMES.sub(lambda _: docs_reference.plain(page.file.name), markdown)
        markdown = docs_reference.NAMES.sub(lambda _: docs_reference.entries(page.file.name), markdown)
    if page is not None:
        _copies[page.url] = copy
    return markdown


def on_page_content(html: str, page: Any, files: Any = None, **_: Any) -> str:
    """Give error codes their anchors, link RFCs and error codes, and choose pictures by width."""
    on_errors = page.file.src_uri == "reference/errors.md"
    if on_errors:
        html = _CODE_ROW.sub(r'<tr id="\1"><td><code>\1</code></td>', html)
    up = "../" * page.url.count("/")
    html = with_links(html, {} if on_errors else dict.fromkeys(codes(), f"{up}reference/errors/"))
    return _PICTURE.sub(lambda found: pictured(found, page), html)


def pictured(found: re.Match[str], page: Any) -> str:
    """Return an image that a narrow screen gets in its own drawing, if there is one."""
    alt, path = found[1], found[2]
    drawn = Path(page.file.abs_src_path).parent / re.sub(r"^\.\./(?=assets|\.\./)", "", path)
    drawn = drawn.parent / f"{drawn.name}-phone.svg"
    image = f'<img alt="{alt}" src="{path}.svg" />'
    if not drawn.exists():
        return image
    return f'<picture><source media="(max-width: 44.9em)" srcset="{path}-phone.svg" />{image}</picture>'


def with_links(html: str, known: dict[str, str]) -> str:
    """Link each RFC that is named, and each known code, where nothing is linked yet."""
    parts: list[str] = []
    depth, inside_code = 0, False
    pieces = list(_UNLINKED.finditer(html))
    for number, piece in enumerate(pieces):
        text, tag = piece[0], piece[2]
        if tag == "code" and depth == 0 and not piece[1]:
            name = pieces[number + 1][0] if number + 1 < len(pieces) else ""
            inside_code = name in known
            if inside_code:
                parts.append(f'<a href="{known[name]}#{name}">')
        if tag:
            depth += -1 if piece[1] else 1
        parts.append(text if tag or depth or text.startswith("<") else _RFC.sub(_rfc, text))
        if tag == "code" and piece[1] and depth == 0 and inside_code:
            parts.append("</a>")
            inside_code = False
    return "".join(parts)


def _rfc(found: re.Match[str]) -> str:
    anchor = f"#section-{found[3]}" if found[3] else ""
    return f'<a href="https://www.rfc-editor.org/rfc/rfc{found[1]}{anchor}">{found[0]}</a>'


def on_post_build(config: Any, **_: Any) -> None:
    """Write the Markdown copies and the two files for readers that are programs."""
    site = Path(config["site_dir"])
    for url, text in _copies.items():
        target = site / url / "index.md" if not url.endswith(".html") else site / f"{url}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (site / "llms.txt").write_text("\n".join(listed(config)) + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n\n".join(_copies.values()), encoding="utf-8")


def listed(config: Any) -> Iterator[str]:
    """Yield the lines of ``llms.txt``: the name, what it is, and the pages by section."""
    yield f"# {config['site_name']}\n\n> {config['site_description']}"
    base = (config["site_url"] or "").rstrip("/")
    base = f"{base}/" if base else ""
    for section in config["nav"]:
        for name, pages in section.items():
            yield f"\n## {name}\n"
            yield from _listed(pages, base)


def _listed(pages: Any, base: str) -> Iterator[str]:
    if isinstance(pages, str):
        pages = [{pages: pages}]
    for page in pages:
        for name, target in page.items():
            if isinstance(target, str):
                address = re.sub(r"(^|/)index\.md$", r"\1", target).removesuffix(".md")
                yield f"- [{name}]({base}{address}{'/' if address and not address.endswith('/') else ''}index.md)"
            else:
                yield from _listed(target, base)
