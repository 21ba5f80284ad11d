"""JSON documents that others publish: the one status, media type and size that is taken, and what to say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._refusals import refused
from ...exceptions import NetworkException, printable
from .flow import Reply
from .strict_json import StrictJSONError, loads_object


@dataclass(frozen=True, slots=True)
class PublishedJson:
    """A kind of document, and how it is refused."""

    #: What it is called.
    what: str
    #: Bytes at most.
    limit: int
    #: Stem of the codes: ``_missing`` and ``_unparsable`` follow.
    stem: str
    error: type[NetworkException]
    #: Whether ``application/*+json`` is taken too.
    any_json: bool = False

    def read(self, reply: Reply, url: str) -> dict[str, Any]:
        """Return the document in *reply*.

        Raises:
            NetworkException: It is not there, or it cannot be read; the class is ``error``.
        """
        media_type = reply.media_type
        kind, _, subtype = media_type.partition("/")
        fits = media_type == "application/json" or (
            self.any_json and kind == "application" and subtype.endswith("+json")
        )
        where: dict[str, Any] = {"url": url, "status_code": reply.status}
        if reply.status != 200 or not fits:
            actual = f"{reply.status} and {printable(media_type, 60) or 'no content type'}"
            message = f"{self.what[0].upper()}{self.what[1:]} is not there: status {reply.status}"
            expected = "200 and application/json"
            raise refused(self.error, f"{self.stem}_missing", message, None, expected, actual, **where)
        try:
            return loads_object(reply.body, max_size=self.limit)
        except StrictJSONError as error:
            reason = f"{self.what[0].upper()}{self.what[1:]} cannot be read: {error.reason}"
        raise refused(self.error, f"{self.stem}_unparsable", reason, **where)


__all__ = ["PublishedJson"]
