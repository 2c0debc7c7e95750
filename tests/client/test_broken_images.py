"""Which of many images are broken is in the error: their places, what they are called, and why."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from augfeed.errors import InputError
from augfeed_client import BrokenImage, Client, Connection, RemoteError
from augfeed_client.errors import TOLD, Problem
from tests.service.servers import Running, serving

pytestmark = pytest.mark.timeout(300)


def encoded(side: int = 16, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, kind)
    return file.getvalue()


GOOD = encoded()
WAYS = {  # what is wrong is seen in the header, in the pixels, or by the policy
    "empty": b"",
    "a page": b"<html>",
    "another format": encoded(kind="BMP"),
    "a header alone": GOOD[:20],
    "cut": encoded(kind="PNG")[:-60],
    "too small": encoded(4),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 2, TOLD + 3])
def test_every_broken_file_is_named(running: Running, way: str, count: int) -> None:
    files, at = [GOOD] * 40, [3 * k + 1 for k in range(count)]
    for k in at:
        files[k] = WAYS[way]
    names = [f"photo-{k}.jpg" for k in range(40)]
    asked: dict[str, Any] = {"policy": "center_crop(8)", "names": names}
    with Client(running.url) as client, pytest.raises(RemoteError) as caught:
        client.augment(files, **asked)
    error, said = caught.value, str(caught.value)
    assert (error.status, error.name) == (422, "invalid-images")
    assert [image.index for image in error.images] == at
    for k in range(40):
        assert (f"images[{k}] ('photo-{k}.jpg')" in said) == (k in at)
    assert all(image.detail for image in error.images)
    assert str(error.images[0]) in said


@pytest.mark.parametrize("way", WAYS)
def test_a_preview_names_them_too(running: Running, way: str) -> None:
    files = [GOOD, WAYS[way], GOOD]
    with Client(running.url) as client, pytest.raises(RemoteError) as caught:
        client.preview(files, policy="center_crop(8)", names=["a", "b", "c"])
    assert [(image.index, image.name) for image in caught.value.images] == [(1, "'b'")]
    assert "images[1] ('b'): " in str(caught.value)


def test_files_without_names_are_called_by_their_ids_or_their_places(running: Running) -> None:
    with Client(running.url) as client:
        with pytest.raises(RemoteError, match=r"images\[1\] \(id 9\): is none of JPEG"):
            client.augment([GOOD, b"x"], ids=torch.tensor([7, 9]), policy="center_crop(8)")
        with pytest.raises(RemoteError, match=r"images\[1\]: is none of JPEG"):
            client.augment([GOOD, b"x"], policy="center_crop(8)")


def test_an_answer_about_thousands_of_files_is_small_and_names_all(data: dict[str, Path]) -> None:
    with (
        serving(datasets=data, max_images=5000) as running,
        Client(running.url, Connection(deadline=10)) as client,
        pytest.raises(RemoteError) as caught,
    ):
        client.augment([b""] * 5000, policy="center_crop(8)")
    assert [image.index for image in caught.value.images] == list(range(5000))
    assert "images[4999]" in str(caught.value)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "c"], "ab"])
def test_names_are_one_for_each_image(running: Running, names: Any) -> None:
    with Client(running.url) as client, pytest.raises(InputError, match="names="):
        client.augment([GOOD, GOOD], policy="hflip", names=names)


def test_what_is_no_file_is_named_before_anything_is_sent() -> None:
    client = Client("http://127.0.0.1:9")
    for wrong in (None, "a.jpg", 3, bytearray(GOOD), Path("a.jpg")):
        with pytest.raises(InputError, match=r"images\[2\]=.* \(2 such\) cannot be sent"):
            client.augment([GOOD, GOOD, wrong, GOOD, wrong], policy="hflip")


@pytest.mark.parametrize(
    "images",
    [3, "x", {"index": 1}, [3], [{"index": "1"}], [{"index": True}], [{"index": -1}], [{}], None],
)
def test_an_answer_of_another_form_is_an_error_all_the_same(images: Any) -> None:
    body = json.dumps({"type": "x/invalid-images", "detail": "no", "images": images})
    problem = Problem.of(422, body.encode())
    assert problem.images == () and str(problem.error("there")) == "there: 422 invalid-images: no"


def test_the_error_goes_from_process_to_process() -> None:
    error = RemoteError("it", 422, "invalid-images", [BrokenImage(3, "no", "'a'")])
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.images, other.status) == (str(error), error.images, 422)
    assert other.naming([]).images == error.images  # more images than were sent
