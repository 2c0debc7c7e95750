"""The `Host` of requests: one, well formed, and on loopback without keys a name of this machine.

A web page may have its own name resolve to 127.0.0.1 ("DNS rebinding"); the browser then takes the
service for the page's own server. What the page cannot change is the name in `Host`.
"""

import re
from collections.abc import Iterable

from augfeed_service.problems import Problem
from augfeed_service.settings import Settings, is_loopback

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(:[0-9]{0,5})?")


def check_host(
    headers: Iterable[tuple[bytes, bytes]], version: str, settings: Settings
) -> Problem | None:
    """Return the answer to a request whose `Host` is wrong; `version` is that of HTTP."""
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts and version == "1.0":
        return None  # which has none
    if len(hosts) != 1:
        return Problem(400, "malformed", f"{len(hosts)} headers Host: send one")
    text = hosts[0].decode("latin-1").strip()
    found = _HOST.fullmatch(text)
    if found is None:
        return Problem(400, "malformed", f"Host: {text[:100]!r} is not a name or an address")
    if settings.keys is not None or settings.insecure:
        return None
    name = found["name"].strip("[]").rstrip(".").lower()
    own = {settings.host.lower(), *(host.lower() for host in settings.allowed_hosts)}
    if name in own or name.endswith(".localhost") or is_loopback(name):
        return None
    return Problem(
        400, "malformed",
        f"Host: {text[:100]!r} is not a name of this machine, and no keys are set: ask for "
        f"{settings.host}, or start the service with --set allowed_hosts={name[:60]}",
    )  # fmt: skip
