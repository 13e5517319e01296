"""What the network looks like from the box: addresses, default route, name servers, and whether the broker answers.

Read from the kernel's own files; no program is run.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mqtt.link import TlsOptions

SIOCGIFADDR, SIOCGIFNETMASK = 0x8915, 0x891B
REACH_S = 3.0


def network(host: str | None, port: int, tls: TlsOptions | None) -> dict[str, Any]:
    """Takes up to some seconds where the broker does not answer. `host` None: no broker is known."""
    return {
        "interfaces": interfaces(),
        "route": default_route(),
        "name_servers": name_servers(),
        "broker": reach(host, port, tls) if host is not None else None,
    }


def interfaces() -> list[dict[str, Any]]:
    """Every interface but the loopback."""
    found = []
    for _, name in socket.if_nameindex():
        folder = Path("/sys/class/net") / name
        if name == "lo":
            continue
        found.append(
            {
                "name": name, "state": _read(folder / "operstate"), "mac": _read(folder / "address"),
                "addresses": [*_ipv4(name), *_ipv6(name)],
            }
        )  # fmt: skip
    return found


def default_route(table: Path = Path("/proc/net/route")) -> dict[str, str] | None:
    """The gateway and its interface, None when there is no way out."""
    for line in _read(table).splitlines()[1:]:
        name, destination, gateway, *rest = line.split()
        if destination == "00000000" and rest[4] == "00000000":
            address = ipaddress.IPv4Address(struct.pack("<I", int(gateway, 16)))
            return {"interface": name, "gateway": str(address)}
    return None


def name_servers(file: Path = Path("/etc/resolv.conf")) -> list[str]:
    lines = (line.split() for line in _read(file).splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def reach(host: str, port: int, tls: TlsOptions | None, timeout_s: float = REACH_S) -> dict[str, Any]:
    """Name, connection, TLS: how far one gets, and where it ends."""
    facts: dict[str, Any] = {"host": host, "port": port, "tls": tls is not None, "well": False}
    began_s = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            facts["address"] = connection.getpeername()[0]
            if tls is not None:
                with tls.context().wrap_socket(connection, server_hostname=host) as secure:
                    facts |= {"version": secure.version(), "ms": _ms_since(began_s)}
                    _wait_for_refusal(secure)
            else:
                facts["ms"] = _ms_since(began_s)
    except (OSError, ValueError) as error:
        return facts | {"why": _why(error)}
    return facts | {"well": True}


def _ms_since(began_s: float) -> float:
    return round((time.monotonic() - began_s) * 1000, 1)


def _wait_for_refusal(secure: ssl.SSLSocket) -> None:
    """In TLS 1.3 a refused client certificate shows only at the first read. Raises OSError."""
    secure.settimeout(0.3)
    with suppress(TimeoutError):
        secure.recv(1)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"the name is not known: {error.strerror}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error)


def _ipv4(name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        request = struct.pack("256s", name.encode()[:15])
        ask: Callable[[int], str] = lambda what: socket.inet_ntoa(fcntl.ioctl(probe, what, request)[20:24])  # noqa: E731
        return [ipaddress.IPv4Interface(f"{ask(SIOCGIFADDR)}/{ask(SIOCGIFNETMASK)}").with_prefixlen]
    return []


def _ipv6(name: str) -> list[str]:
    rows = (line.split() for line in _read(Path("/proc/net/if_inet6")).splitlines())
    return [
        f"{ipaddress.IPv6Address(int(row[0], 16))}/{int(row[2], 16)}"
        for row in rows
        if len(row) == 6 and row[5] == name
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
