"""The browser of a user who agrees to everything: it opens a page, and goes where it leads."""

import sys

import httpx2

httpx2.get(sys.argv[1], follow_redirects=True, timeout=30)
