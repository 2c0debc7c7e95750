"""Keys: who may pull batches, push images, read metrics, or all of it.

A file of keys has a line for each: a name, what it is for, and the SHA-256 of the key, in
hexadecimal. `python -m augfeed_service.auth NAME [pull,push]` makes a key and prints both.
"""

import hashlib
import hmac
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from augfeed.errors import InputError
from augfeed_service.problems import Problem

SCOPES = ("pull", "push", "metrics", "admin")


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a file of keys; "admin" may do everything."""

    name: str
    scopes: frozenset[str]
    digest: str


class Keys:
    """The keys of a service; None at all lets everyone in."""

    def __init__(self, path: Path | None) -> None:
        """Read a file; raise `InputError` naming a line that is wrong."""
        self._keys = None if path is None else _read(path)

    @property
    def asked(self) -> bool:
        """Whether keys are asked for."""
        return self._keys is not None

    def check(self, header: str | None, scope: str) -> str:
        """Return the name of the key of an `Authorization` header; raise `Problem` for none.

        Every key is compared, in constant time, so the time taken says nothing of them.
        """
        if self._keys is None:
            return ""
        scheme, _, given = (header or "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).hexdigest()
        found: Key | None = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None or scheme.lower() != "bearer":
            raise Problem(401, "unauthorized", "send a key: Authorization: Bearer ...")
        if not found.scopes & {scope, "admin"}:
            raise Problem(
                403, "forbidden",
                f"the key {found.name!r} is for {', '.join(sorted(found.scopes))}, and this takes "
                f"{scope!r}: use another key",
            )  # fmt: skip
        return found.name


def _read(path: Path) -> list[Key]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"keys={str(path)!r} cannot be read: {error}") from None
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split("#", 1)[0].split()
        if not parts:
            continue
        scopes = frozenset(parts[1].split(",")) if len(parts) == 3 else frozenset()
        digest = parts[-1].lower()
        right = len(digest) == 64 and all(digit in "0123456789abcdef" for digit in digest)
        if not scopes or not scopes <= set(SCOPES) or not right:
            raise InputError(
                f"keys={str(path)!r}, line {number}: write a name, scopes of {SCOPES} with commas, "
                "and the SHA-256 of the key: python -m augfeed_service.auth NAME pull,push"
            )
        keys.append(Key(parts[0], scopes, digest))
    if not keys:
        raise InputError(f"keys={str(path)!r} holds no key: nobody could use the service")
    return keys


def line_of(name: str, scopes: str, key: str) -> str:
    """Return the line of a file of keys for a key."""
    return f"{name} {scopes} {hashlib.sha256(key.encode()).hexdigest()}"


def main(arguments: list[str]) -> int:
    """Print a new key, and the line for the file of keys; return the exit status."""
    if not 1 <= len(arguments) <= 2:
        print("python -m augfeed_service.auth NAME [pull,push]", file=sys.stderr)
        return 2
    key = secrets.token_urlsafe(32)
    print(f"key, for the client:    {key}")
    print(f"line, for the file:     {line_of(arguments[0], (*arguments[1:], 'pull')[0], key)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
