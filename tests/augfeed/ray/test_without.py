"""Without Ray the library says what is to be installed."""

import sys

import pytest

from augfeed.errors import MissingExtraError


def test_without_ray_the_error_is_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("augfeed.ray")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augfeed\[ray\]'"):
        import augfeed.ray  # noqa: F401
