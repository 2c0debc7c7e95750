"""Every exception that augfeed raises on purpose."""


class AugfeedError(Exception):
    """Base of every error raised on purpose; the message names value, bound and cure."""


class PolicyError(AugfeedError, ValueError):
    """A policy, or an operation of one, that cannot be carried out."""


class InvarianceError(PolicyError):
    """A policy that would change labels which its dataset declares to be at stake."""


class InputError(AugfeedError, ValueError):
    """Images, labels or arguments whose value is out of bounds."""


class InputTypeError(InputError, TypeError):
    """Images, labels or arguments of the wrong type, dtype or rank."""


class InputIndexError(InputError, IndexError):
    """A number of a sample that there is not."""


class ReadError(AugfeedError, RuntimeError):
    """A file that cannot be read or decoded; the message names the file."""

    @classmethod
    def of(cls, path: str, error: OSError) -> "ReadError":
        """Return the error for a file that the system does not give out."""
        reason = error.strerror or error
        if path != path.strip():
            # As of a list with the line ends of another system, which a terminal does not show.
            return cls(
                f"{path!r}: cannot be read ({reason}): its name begins or ends with white space; "
                "strip the lines of a list, or check that it is there"
            )
        return cls(f"{path}: cannot be read ({reason}): check that it is there and may be read")


class StateError(AugfeedError, ValueError):
    """A loader state that does not fit this loader."""


class WireError(AugfeedError, ValueError):
    """Bytes that are not what they should be: cut, changed on their way, or of another format."""


class CheckError(AugfeedError, RuntimeError):
    """Pixels of an engine that are not those of another one; so it is not timed."""


class MissingExtraError(AugfeedError, ImportError):
    """An optional dependency that is not installed; the message is the pip line."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed: pip install 'augfeed[{extra}]'")
