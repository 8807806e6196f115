"""Reading who a request is for and from whom it comes. Pure: bytes of headers in, decisions out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]


def normalize_host(raw: str) -> str | None:
    """Host header to registry form: no port, no trailing dot, lower case. None for what is no host name.

    >>> normalize_host("SeaBreeze.HOAconnect.com.:8080")
    'seabreeze.hoaconnect.com'
    """
    if raw.startswith("["):
        return None
    name, colon, port = raw.partition(":")
    if colon and port and not port.isdecimal():
        return None
    name = name.removesuffix(".")
    if not name or len(name) > 253 or not name.isascii():
        return None
    return name.lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from. `inside` means: straight from a trusted network, not carried by a proxy for someone."""

    ip: str
    scheme: str
    inside: bool


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether `address` lies in one of the trusted networks."""
    if not trusted:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def caller(peer: str, scheme: str, forwarded_for: str, forwarded_proto: str, trusted: Sequence[Network]) -> Caller:
    """Who really calls. X-Forwarded-* counts only when the peer is a trusted proxy.

    The client is the right-most address in X-Forwarded-For that is not itself a trusted proxy: what stands to the left
    of it was written by whoever wanted to write it. Where all are trusted, it is the one our proxy wrote: the last.
    """
    if not is_trusted(peer, trusted):
        return Caller(peer, scheme, inside=False)
    proto = forwarded_proto.rpartition(",")[2].strip().lower()
    if proto in ("http", "https"):
        scheme = proto
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    if not hops:
        return Caller(peer, scheme, inside=True)
    client = next((hop for hop in reversed(hops) if not is_trusted(hop, trusted)), hops[-1])
    return Caller(client, scheme, inside=False)
