"""Processes of several kinds that share one login, and may die: threads, tasks of asyncio, tasks of trio."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, Protocol

import token_worker

KINDS = ("threads", "asyncio", "trio")


def alike(processes: int, tasks: int) -> list[tuple[str, int]]:
    """Return so many processes of all kinds in turn."""
    return [(kind, tasks) for kind in islice(cycle(KINDS), processes)]


class Provider(Protocol):
    """Whose login it is."""

    issuer: str
    client_id: str
    client_secret: str


class Fleet:
    """Processes that use one login, and are started again when they die.

    Args:
        provider: Who renews.
        where: The address of the store.
        programs: What each process is, and how many threads or tasks it has.
        step: Where in a renewal it may die.
        chance: How likely that is.
        grave: A file that is there from a death to the next renewal: processes die one at a time.
    """

    def __init__(
        self,
        provider: Provider,
        where: str,
        programs: Sequence[tuple[str, int]],
        *,
        step: str = "never",
        chance: float = 0.0,
        grave: str = "",
    ) -> None:
        self.provider, self.where, self.programs, self.grave = provider, where, programs, grave
        self.step, self.chance = step, chance
        self.failures: list[str] = []
        self.calls = self.deaths = 0
        self.seconds = 0.0
        self._told: dict[int, Any] = {}
        self._programs: dict[int, tuple[str, int]] = {}

    def run(self, seconds: float) -> None:
        """Let them run, and read what they told."""
        begun = time.monotonic()
        end = begun + seconds
        running = [self._start(program, end) for program in self.programs]
        while running:
            for process in list(running):
                if process.poll() is None:
                    continue
                running.remove(process)
                self._read(process)
                if process.returncode == -signal.SIGKILL:
                    self.deaths += 1
                    if time.monotonic() < end - 0.5:
                        running.append(self._start(self._programs[process.pid], end))
            time.sleep(0.02)  # processes end when they end
        self.seconds = time.monotonic() - begun

    def _start(self, program: tuple[str, int], end: float) -> subprocess.Popen[bytes]:
        seconds = max(0.3, end - time.monotonic())
        arguments = [self.provider.issuer, self.provider.client_id, self.provider.client_secret, self.where]
        arguments += [program[0], str(program[1]), str(seconds), self.step, str(self.chance), self.grave]
        command = [sys.executable, token_worker.__file__, *arguments]
        told = tempfile.TemporaryFile("w+")  # noqa: SIM115 # read and closed when the process has ended
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        self._told[process.pid], self._programs[process.pid] = told, program
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        with self._told.pop(process.pid) as file:
            file.seek(0)
            told = file.read().splitlines()
        self.calls += sum(int(line.split()[1]) for line in told if line.startswith("calls"))
        self.failures += [line for line in told if not line.startswith("calls")]
