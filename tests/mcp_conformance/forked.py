"""Runs programs in forks of one interpreter that has imported what they want: fifty starts cost the imports once.

``python forked.py SOCKET`` serves; ``python forked.py SOCKET PROGRAM [ARGUMENTS]`` has a program run, with the input,
output, folder and environment of the caller, and ends as it ends.
"""

import json
import os
import signal
import socket
import sys


def run(given: dict[str, object], streams: list[int]) -> None:
    """Become the program that is asked for."""
    import runpy

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(given["folder"])
    os.environ.clear()
    os.environ.update(given["environment"])
    sys.argv = given["arguments"]
    runpy.run_path(sys.argv[0], run_name="__main__")


def answered(caller: socket.socket) -> None:
    """Fork for one caller, and tell it how the program ended."""
    with caller:
        size = int.from_bytes(caller.recv(4), "big")
        message, streams, _, _ = socket.recv_fds(caller, size, 3, socket.MSG_WAITALL)
        child = os.fork()
        if child == 0:
            caller.close()
            run(json.loads(message), streams)
            return
        for stream in streams:
            os.close(stream)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        caller.sendall(bytes([ended % 256]))


def serve(path: str) -> None:
    """Import what the programs want, then fork: once for each caller, so that they do not wait for one another."""
    import mcp.client.streamable_http

    from py_identity_model.aio import OAuthClient
    from py_identity_model.integrations.mcp_client import MCPAuth

    _ = mcp.Client, MCPAuth, OAuthClient
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen()
    os.rename(f"{path}.new", path)
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            answered(caller)
            return
        caller.close()


def ask(path: str, arguments: list[str]) -> int:
    """Have a program run; return how it ended."""
    given = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    message = json.dumps(given).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        server.sendall(len(message).to_bytes(4, "big"))
        sent = socket.send_fds(server, [message], [0, 1, 2])
        server.sendall(message[sent:])
        return server.recv(1)[0]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
