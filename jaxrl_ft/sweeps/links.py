"""Links: messages between two processes over TCP. Nothing that arrives is executed: JSON and bytes alone."""

import contextlib
import json
import socket
import struct
import threading
from typing import Any

_HEAD = struct.Struct("!QQ")
LIMIT = 2**36
"""Bytes of the largest message."""
KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}
"""A host that vanishes without a word is missed after a minute; a process that dies, at once."""


class Link:
    """A connection to another process; any thread may send, one may receive.

    Args:
        connection: connected.
        name: of the other process, for messages.
    """

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.name, self._connection, self._sending = name, connection, threading.Lock()
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def send(self, words: Any, body: bytes = b"") -> None:
        """Nothing; the other process then receives JSON and bytes.

        Raises:
            ConnectionError: it is gone.
        """
        head = json.dumps(words).encode()
        try:
            with self._sending:
                self._connection.sendall(_HEAD.pack(len(head), len(body)) + head)
                self._connection.sendall(body)
        except OSError as error:
            raise self._lost() from error

    def receive(self, limit: int = LIMIT) -> tuple[Any, bytes]:
        """The next JSON and bytes that the other process sent, once they are there.

        Args:
            limit: bytes of the largest message that is taken.

        Raises:
            ConnectionError: it is gone, or sends something else.
        """
        sizes = _HEAD.unpack(self._read(_HEAD.size))
        if sum(sizes) > limit:
            raise ConnectionError(f"{self.name} sent {sum(sizes)} bytes where at most {limit} are allowed")
        head, body = (self._read(size) for size in sizes)
        try:
            return json.loads(head), body
        except ValueError as error:
            raise ConnectionError(f"{self.name} sent what is not JSON") from error

    def close(self) -> None:
        """Nothing; the other process then finds this one gone, once it has received what was sent."""
        with contextlib.suppress(OSError):
            # Closing alone would not wake a thread that receives.
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def wait_at_most(self, seconds: float | None) -> None:
        """Nothing; from then on whoever keeps this process waiting for longer counts as gone; None for ever."""
        self._connection.settimeout(seconds)

    def _read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing:
            try:
                part = self._connection.recv(min(missing, 2**20))
            except OSError as error:
                raise self._lost() from error
            if not part:
                raise self._lost()
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _lost(self) -> ConnectionError:
        return ConnectionError(f"{self.name} was lost")
