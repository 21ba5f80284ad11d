"""Paths of earlier versions: each module here hands on what programs import from it."""
