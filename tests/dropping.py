"""A TCP proxy that drops the connections of a database server where it is told to, in the midst of what is said.

Or it falls silent: connections stay open, and nothing comes through.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from types import TracebackType

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which a close is a reset, as of a machine that has crashed."""

COMMIT = b"COMMIT"


class DroppingProxy:
    """Passes a port of this machine on to a server, and drops connections while it is `wild`.

    Attributes:
        port: Where it listens.
        wild: Whether connections are dropped.
        accepted: Connections that were made to it.
        cuts: How many were, by the moment: "before" a message of the client reached the server, "in" the middle of one,
            "answer" when the server had answered and the client had not heard it, "commit" the same of a COMMIT, which
            counts though the client does not know.
    """

    def __init__(self, host: str, port: int, seed: int, probability: float = 0.04) -> None:
        self.wild = False
        self.accepted = 0
        self._loud = threading.Event()
        self._loud.set()
        self.cuts: Counter[str] = Counter()
        self._target = (host, port)
        self._dice = random.Random(seed)
        self._probability = probability
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def fall_silent(self) -> None:
        """From now on nothing gets through, in neither direction; all connections stay open, and new ones are taken."""
        self._loud.clear()

    def be_back(self) -> None:
        """What was held back gets through, as TCP has it: also what the client no longer waits for."""
        self._loud.set()

    def hold(self) -> None:
        """Wait until messages get through."""
        self._loud.wait()

    def __enter__(self) -> DroppingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loud.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                _reset(one)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(self._target)
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self._open |= {client, server}
            line = _Line(self, client, server)
            for pump in (line.ask, line.answer):
                thread = threading.Thread(target=pump, daemon=True)
                self._threads.append(thread)
                thread.start()

    def moment(self, message: bytes) -> str:
        """Where to cut, at this message of the client; empty for not at all."""
        if not self.wild:
            return ""
        with self._lock:
            if COMMIT in message:
                return "commit" if self._dice.random() < 0.25 else ""
            if self._dice.random() < self._probability:
                return self._dice.choice(["before", "in", "answer"])
        return ""

    def cut(self, moment: str, client: socket.socket, server: socket.socket) -> None:
        """Drop a connection, to both sides."""
        with self._lock:
            if moment:
                self.cuts[moment] += 1
            self._open -= {client, server}
        _reset(client)
        _reset(server)


class _Line:
    """One connection."""

    def __init__(self, proxy: DroppingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._doomed = ""
        """Cut at the server's next answer, of which the client hears nothing."""

    def ask(self) -> None:
        """From the client to the server."""
        with contextlib.suppress(OSError):
            while message := self._client.recv(65536):
                self._proxy.hold()
                moment = self._proxy.moment(message)
                if moment in ("answer", "commit"):
                    self._doomed = moment
                elif moment:
                    self._server.sendall(message[: len(message) // 2] if moment == "in" else b"")
                    self._proxy.cut(moment, self._client, self._server)
                    return
                self._server.sendall(message)
        self._proxy.cut("", self._client, self._server)

    def answer(self) -> None:
        """From the server to the client."""
        with contextlib.suppress(OSError):
            while message := self._server.recv(65536):
                self._proxy.hold()
                if self._doomed:
                    self._proxy.cut(self._doomed, self._client, self._server)
                    return
                self._client.sendall(message)
        self._proxy.cut("", self._client, self._server)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
