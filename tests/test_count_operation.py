"""An operation is one file of the library, beside those that are generated from it."""

import pytest

from tests.count_operation import operations, places, words_of

# Of every kind on frames and colors, those that no message of the library gives as an example.
ONE = ("autocontrast", "channel_drop", "channel_shuffle", "gaussian_blur", "posterize", "sharpness",
       "solarize_add")  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_nothing_of_the_library_speaks_of_an_operation_but_its_file(name: str) -> None:
    found = [path for path, _, generated in places(name) if not generated]
    assert [path for path in found if path.startswith("pipelines/")] == [
        f"pipelines/augfeed/ops/{name}.py"
    ]


def test_words_are_those_of_an_operation_and_not_of_one_whose_name_begins_alike() -> None:
    words = words_of("solarize")
    assert {"solarize", "solarize_add"} <= {*operations()}
    for text in ("solarize(0.5)", "Solarize(", "_solarize_pixel", "SOLARIZE"):
        assert words.search(text), text
    for text in ("solarize_add(3)", "SolarizeAdd", "RandomSolarize", "desolarized"):
        assert not words.search(text), text
