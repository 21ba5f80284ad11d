"""People who log in with a browser: logins under way, sessions, logout, and a backend for a frontend.

Open ``messages`` first: a request of a browser goes in as a value, and an answer comes out as one.
"""
