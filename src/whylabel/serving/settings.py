"""What the server allows: where it listens, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from whylabel.errors import UsageError

KEY_VARIABLE = "WHYLABEL_API_KEY"
_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The limits of the server; times in seconds, sizes in characters, bytes and texts."""

    name: str
    """The name of the model in answers and requests."""
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    """A request must carry one of them; empty: none is needed."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that requests may be addressed to, beside this machine's own."""
    max_text_chars: int = 20_000
    max_texts: int = 64
    """Texts of a request."""
    max_body_bytes: int = 2 * 2**20
    max_queue: int = 256
    """Texts that are taken and not answered yet."""
    timeout: float = 120.0
    """Longest time until a request is answered."""
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    keep_alive_timeout: float = 75.0
    """How long a connection may rest between two requests."""
    write_timeout: float = 30.0
    """How long a client may leave unread what it was sent."""
    shutdown_timeout: float = 8.0
    """How long accepted requests may take when the server stops."""
    stall_timeout: float = 120.0
    """An engine that gives no sign of life for so long is ended, and another one started."""
    max_connections: int = 1000

    def __post_init__(self) -> None:
        if not is_local(self.host) and not self.keys:
            raise UsageError(
                f"Without a key, the server listens on this machine alone, not on {self.host!r}.",
                fix=f"set {KEY_VARIABLE} (or --api-key-file), or leave out --host",
            )
        short = [key for key in self.keys if len(key) < _SHORTEST_KEY or not key.isascii()]
        if short:
            raise UsageError(
                f"An API key must have {_SHORTEST_KEY} ASCII characters or more.",
                fix='make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )

    @property
    def host_names(self) -> frozenset[str] | None:
        """The host names that a request may be addressed to; None: any, as it must have a key all the same."""
        if not is_local(self.host) and not self.allowed_hosts:
            return None
        return frozenset(
            {"localhost", "127.0.0.1", "[::1]", *map(host_name, (self.host, *self.allowed_hosts))}
        )


def host_name(address: str) -> str:
    """Return the name in a Host header or an option in the form in which names are compared, without a port."""
    try:
        return f"[{ipaddress.IPv6Address(address)}]"
    except ValueError:
        name, colon, port = address.rpartition(":")
        return (name if colon and (port.isdigit() or not port) else address).lower()


def is_local(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_keys(file: Path | None) -> tuple[str, ...]:
    """Return the keys of a file, one a line, else that of the environment, if there is one.

    Raises `UsageError` if the file has none, or is not UTF-8.
    """
    if file is None:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        return (key,) if key else ()
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise UsageError("The file of keys is not UTF-8.", where=str(file), fix="save it as UTF-8") from None
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise UsageError("There is no key in the file.", where=str(file), fix="write one key a line")
    return keys
