"""Doors to what an application runs beside this library; each module wants its own package, and says which."""
