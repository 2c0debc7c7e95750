"""The proxy that the environment names for an address, if any."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from augfeed.errors import InputError

SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class HTTPProxy:
    """A proxy; `login` is "user:password", which is not part of the `repr`."""

    url: str
    login: str | None = field(default=None, repr=False)

    @property
    def secure(self) -> bool:
        """Whether the proxy itself is spoken to by TLS."""
        return self.url.startswith("https:")


def proxy_of(address: SplitResult) -> HTTPProxy | None:
    """Return the proxy for an address, by the variables that `requests` and curl read.

    None for addresses of this machine and for those that `NO_PROXY` lists: host names (also those
    that end with one), with a port or without, addresses, and networks such as `10.0.0.0/8`. Raises
    `InputError` for a proxy that cannot be used.
    """
    host = address.hostname or ""
    proxies = getproxies()
    name = address.scheme if proxies.get(address.scheme) else "all"
    found = proxies.get(name)
    if not found or is_loopback(host):
        return None
    port = address.port or {"http": 80, "https": 443}[address.scheme]
    if proxy_bypass(f"{host}:{port}") or _is_listed(host, proxies.get("no", "")):
        return None
    return _parsed(f"{name.upper()}_PROXY", found)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_listed(host: str, listed: str) -> bool:
    # `proxy_bypass` compares names; this compares addresses.
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in listed.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
        except ValueError:
            continue
    return False


def _parsed(variable: str, text: str) -> HTTPProxy:
    # The text may hold a password: it is not shown.
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise InputError(f"{variable} is not an address: set it as 'http://host:3128'") from None
    host = parts.hostname
    if parts.scheme not in SCHEMES or not host:
        raise InputError(
            f"{variable} names a proxy {f'{parts.scheme}://{host}'!r} that cannot be used: set it "
            "as 'http://host:3128', or list the service in NO_PROXY"
        )
    host = f"[{host}]" if ":" in host else host
    login = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return HTTPProxy(f"{parts.scheme}://{host}" + (f":{port}" if port else ""), login)
