"""Code blocks of Markdown pages: found with their line, run as written, ``await`` at top level included."""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import re
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: A performance guide that programs of users were written after; it lies beside the checkout, where it exists.
GUIDE = ROOT.parent / "shared" / "reference" / "guide.md"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what its info string says, and the code without the page's indentation."""

    path: Path
    line: int
    info: str
    code: str

    @property
    def label(self) -> str:
        """Page and line, for the test report."""
        return f"{self.path.name}:{self.line}"

    @property
    def is_python(self) -> bool:
        """Whether the block is Python that a reader may run."""
        return self.info == "python"

    @property
    def is_before(self) -> bool:
        """Whether the block shows Python for another library, which is not installed here."""
        return self.info.replace(" ", "") == "{.python.before}"


def blocks(path: Path) -> Iterator[Block]:
    """Yield every fenced block of a page."""
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None or (opened and fence["info"].strip()):
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence["indent"], fence["info"].strip()), []
        else:
            start, indent, info = opened
            code = "\n".join(text.removeprefix(indent) for text in lines) + "\n"
            yield Block(path, start, info, code)
            opened = None


def python_blocks(*paths: Path) -> list[Block]:
    """Return every runnable block of the pages."""
    return [block for path in paths for block in blocks(path) if block.is_python]


def run(block: Block, names: dict[str, Any], finish: Callable[[], Awaitable[None]] | None = None) -> dict[str, Any]:
    """Run a block as written in a namespace that starts with *names*, and return the namespace.

    Args:
        block: The code.
        names: What the page takes for granted.
        finish: What closes a loop's clients, awaited in the block's own event loop if it has one.
    """
    filename = f"<{block.label}>"
    code = textwrap.dedent(block.code)
    # Tracebacks and inspect.getsource read the source from here.
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    compiled = compile(code, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    space: dict[str, Any] = {"__name__": "__main__", **names}
    if not compiled.co_flags & inspect.CO_COROUTINE:
        exec(compiled, space)
        return space

    async def body() -> None:
        try:
            await eval(compiled, space)
        finally:
            if finish is not None:
                await finish()

    asyncio.run(body())
    return space
