"""An OpenID provider for tests: in the process, as an ASGI application, or on a loopback port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ._attack.attack import attack_api as attack_api
    from ._attack.protocols import AttackProtocol as AttackProtocol
    from ._attack.report import AttackOutcome as AttackOutcome
    from ._attack.report import AttackReport as AttackReport
    from ._attack.report import AttackResult as AttackResult
    from ._attack.report import AttackVerdict as AttackVerdict
    from ._attack.report import Weakness as Weakness
    from ._attack.target import Answered as Answered
    from ._attack.target import Shot as Shot
    from ._attack_tokens import AttackToken as AttackToken
    from ._attack_tokens import attack_tokens as attack_tokens
    from ._authenticated import authenticated as authenticated
    from ._clock import FrozenClock as FrozenClock
    from ._faults import FAULTS as FAULTS
    from ._faults import Answer as Answer
    from ._faults import Change as Change
    from ._faults import Fault as Fault
    from ._faults import deliver as deliver
    from ._forgeries import FORGERIES as FORGERIES
    from ._forgeries import Forgery as Forgery
    from ._forgeries import Severity as Severity
    from ._grants import Client as Client
    from ._logged_in import LoggedIn as LoggedIn
    from ._logged_in import logged_in as logged_in
    from ._network import transport_of as transport_of
    from ._provider import EmbeddedProvider as EmbeddedProvider
    from ._records import Playing as Playing
    from ._records import Received as Received
    from ._stand_in import StandIn as StandIn
    from ._token_factory import TokenFactory as TokenFactory
    from ._tokens import TOKENS as TOKENS
    from ._tokens import Workbench as Workbench

if not TYPE_CHECKING:  # a type checker would take any name for there
    __all__, __getattr__, __dir__ = lazy(globals())
