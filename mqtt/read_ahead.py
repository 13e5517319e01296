"""A TLS socket that takes whatever has come in one go, for a reader that asks for a byte at a time.

paho reads a packet's head byte by byte. Each read of a TLS socket gives up the interpreter's lock, and a thread that is
at work meanwhile gets it: beside a busy one that is a wait for each byte.
"""

from __future__ import annotations

import ssl

AT_ONCE_BYTES = 16 * 1024  # as much as a TLS record holds


class ReadAhead(ssl.SSLSocket):
    """For `SSLContext.sslsocket_class`. `pending` counts what is here already."""

    _ahead = b""
    _at = 0

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self._at >= len(self._ahead):
            self._ahead, self._at = super().recv(AT_ONCE_BYTES, flags), 0
        taken = self._ahead[self._at : self._at + buflen]
        self._at += len(taken)
        return taken

    def pending(self) -> int:
        return len(self._ahead) - self._at + super().pending()
