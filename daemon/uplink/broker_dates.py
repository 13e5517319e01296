"""TLS to a broker that is found again by a board whose clock is wrong.

OpenSSL judges a certificate's dates by the system clock. One that stands a year behind would refuse the very broker
through which the fleet says the time, for good. So while that clock is known to be wrong, or nothing speaks for it, the
dates are left out; authority, name and the client's own certificate count as ever, and what the fleet says is signed
whoever carries it. Who could put the clock wrong could as well put it back to when an old certificate was good.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from daemon.uplink.clock import TrustedClock
from mqtt.link import TlsOptions

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h; Python has no name for it


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedTls(TlsOptions):
    """As `TlsOptions`; asked anew for each connection whether dates count."""

    clock: TrustedClock

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError is one) when a file is missing or is no PEM."""
        context = TlsOptions.context(self)
        if not self.clock.system_is_right():
            context.verify_flags |= NO_CHECK_TIME
        return context


def dated(tls: TlsOptions | None, clock: TrustedClock) -> TlsOptions | None:
    """The same way to the broker, with dates judged only while the system clock may judge them."""
    return DatedTls(tls.ca, tls.certificate, tls.key, clock=clock) if tls is not None else None
