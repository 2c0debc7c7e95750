"""How a service is asked: how many requests at a time, how long is waited, key and certificates."""

import os
from dataclasses import dataclass, field

from augfeed.errors import InputError


@dataclass(frozen=True, slots=True)
class Connection:
    """How services are spoken to.

    `workers` requests are under way at a time, and as many connections are kept to each replica;
    `ahead` batches are asked for before they are taken. `deadline` is how many seconds a batch may
    take in all, whatever is tried; `timeout` how long a replica may be silent before another one is
    tried. `key` goes along as a bearer token; it is not part of the `repr`.

    Certificates of `https` addresses are always verified: by those that the system trusts, or by
    `ca_bundle` alone, a PEM file, or a folder as OpenSSL wants it. `client_certificate` is a PEM
    file that proves who the client is; `client_key` that of its private key, if it is another one.

    Proxies are those of the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`,
    in small letters or capitals. Addresses of this machine are never asked through a proxy.

    Raises `InputError`.
    """

    workers: int = 4
    ahead: int = 8
    deadline: float = 60.0
    timeout: float = 10.0
    key: str | None = field(default=None, repr=False)
    ca_bundle: str | os.PathLike[str] | None = None
    client_certificate: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        for name in ("workers", "ahead"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name}={value!r} is not a positive whole number: use 4")
        for name in ("deadline", "timeout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InputError(f"{name}={value!r} is not a positive number of seconds: use 10")
        self._check_key()
        self._check_files()

    def _check_key(self) -> None:
        # Never shown: what is wrong in it is nearly all of it.
        key = self.key
        if key is None:
            return
        if not isinstance(key, str) or not key or not all("!" <= char <= "~" for char in key):
            raise InputError(
                "key=... is not a bearer token: give visible ASCII characters without blanks or "
                "line ends, as `key.strip()` of a file that holds it"
            )

    def _check_files(self) -> None:
        for name in ("ca_bundle", "client_certificate", "client_key"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, str | os.PathLike):
                raise InputError(f"{name}={value!r} is not a path: give one of a PEM file")
            if not (os.path.isfile(value) or (name == "ca_bundle" and os.path.isdir(value))):
                raise InputError(f"{name}={str(value)!r} does not exist: give a PEM file")
        if self.client_key is not None and self.client_certificate is None:
            raise InputError(
                f"client_key={str(self.client_key)!r} is given without a client_certificate: give "
                "the PEM file of the certificate that it belongs to"
            )
