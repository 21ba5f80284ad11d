"""What the arguments of a validator are where nothing is said; here, so that a signature loads nothing but numbers."""

from __future__ import annotations

from typing import Final

#: Seconds that a store may be away before nothing is accepted any more, since nobody knows what was revoked.
SILENT_FOR: Final = 60.0
#: Seconds that a mark of a revocation counts: longer than tokens live.
LIFETIME: Final = 86400.0
#: Seconds after which a remembered token is verified anew, whatever its ``exp`` says.
CACHED_FOR: Final = 300.0
#: Seconds since it was made after which nothing of a snapshot of keys is used: a week.
SNAPSHOT_AGE: Final = 7 * 86400.0
#: Tokens that are worked on together. What a consumer of a stream waits for, and how fast a cancellation is.
WINDOW: Final = 1024


__all__ = ["CACHED_FOR", "LIFETIME", "SILENT_FOR", "SNAPSHOT_AGE", "WINDOW"]
