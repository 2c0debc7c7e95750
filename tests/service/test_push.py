"""Images of clients: augmented alike in whatever company, and refused where they are wrong."""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.http as triton
from PIL import Image

from augfeed import Augment, parse_policy
from augfeed.batch import Batch
from augfeed.engines import engine_for
from augfeed.plan import BatchRows, draw_plan
from augfeed.wire import MEDIA_TYPE, decode_batch, encode
from augfeed_client import Client
from augfeed_service import Settings
from augfeed_service.images import from_files, from_tensors
from augfeed_service.metrics import Metrics
from augfeed_service.problems import Problem
from augfeed_service.push import Ask, Push, Together, augment
from tests.augfeed.read.test_png import COLOR, GRAY, SAMPLES, written
from tests.service.servers import Running

SETTINGS = Settings(threads=2)
POLICIES = ("hflip", "random_resized_crop(12) | one_of([mixup(1.0), cutmix]) | cutout(3)",
            "mixup(0.4, per='batch') | label_smoothing(0.1)", "gaussian_noise(0.1)",
            "equalize | gaussian_blur(3, p=0.5)")  # fmt: skip


def make_images(count: int, seed: int = 0, height: int = 20, width: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def pushed(images: torch.Tensor, policy: str, labels: Any = None, **asked: Any) -> Push:
    tensors = {"images": images}
    if labels is not None:
        tensors["labels"] = torch.as_tensor(labels)
    ask = Ask.of({"policy": policy, **asked})
    made = from_tensors(bytearray(bytes(encode(tensors, {}))), SETTINGS)
    return Push(made, ask, ask.resolved(SETTINGS))


def alone(push: Push) -> Batch:
    (made,) = augment([push], engine_for("cpu"))
    assert isinstance(made, Batch)
    return made


@pytest.mark.parametrize("policy", POLICIES)
def test_strangers_that_are_augmented_together_change_nothing(policy: str) -> None:
    pushes = [pushed(make_images(n, n), policy, np.arange(n) % 5) for n in (3, 1, 9, 8, 2)]
    for order in ((0, 1, 2, 3, 4), (4, 2, 0), (3, 1)):
        together = augment([pushes[k] for k in order], engine_for("cpu"))
        for k, made in zip(order, together, strict=True):
            own = alone(pushes[k])
            assert isinstance(made, Batch) and torch.equal(made.images, own.images)
            assert torch.equal(made.ids, own.ids)
            one, other = (getattr(b.targets, "dense", lambda b=b: b.targets)() if not hasattr(
                b.targets, "a") else b.targets.lam for b in (made, own))  # fmt: skip
            assert torch.equal(one, other)


def test_small_requests_wait_for_each_other_and_large_ones_do_not() -> None:
    async def run() -> tuple[list[Batch], Metrics]:
        metrics = Metrics()
        with ThreadPoolExecutor(2) as pool:
            together = Together(engine_for("cpu"), pool, metrics)
            sizes = (2, 3, 4, 40)
            asked = [together.augment(pushed(make_images(n, n), "hflip")) for n in sizes]
            return await asyncio.gather(*asked), metrics

    made, metrics = asyncio.run(run())
    for n, batch in zip((2, 3, 4, 40), made, strict=True):
        assert torch.equal(batch.images, alone(pushed(make_images(n, n), "hflip")).images)
    value = metrics.registry.get_sample_value
    assert value("augfeed_microbatch_size_count") == 2
    assert value("augfeed_microbatch_size_sum") == 49


def test_the_answer_follows_the_plan_of_the_request() -> None:
    images = make_images(6)
    push = pushed(images, "hflip | invert(p=0.5)", seed=9, epoch=3)
    made = alone(push)
    rows = BatchRows.of(push.images.ids)
    plan = draw_plan(push.policy, rows, seed=9, epoch=3, size=(20, 24))
    for k, image in enumerate(images.permute(0, 3, 1, 2)):
        expected = image.flip(-1) if plan.flip_x[k] else image
        expected = 255 - expected if plan.colors.inverted[k] else expected
        assert torch.equal(made.images[k], expected)


def test_images_without_ids_are_named_by_their_content(running: Running) -> None:
    client, images = Client(running.url), make_images(8)
    first = client.augment(images, policy=POLICIES[3], seed=4)
    again = client.augment(images.flip(0), policy=POLICIES[3], seed=4)
    assert torch.equal(first.images, again.images.flip(0))
    assert torch.equal(first.ids, again.ids.flip(0)) and len(set(first.ids.tolist())) == 8
    other = client.augment(images, policy=POLICIES[3], seed=4, ids=list(range(8)))
    assert other.ids.tolist() == list(range(8)) and not torch.equal(other.images, first.images)


def encoded(image: torch.Tensor, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.numpy()).save(file, kind, quality=95)
    return file.getvalue()


def test_files_and_tensors_of_the_same_pixels_give_the_same(running: Running) -> None:
    client, images = Client(running.url), make_images(5)
    ids, labels = [4, 8, 15, 16, 23], [0, 1, 0, 2, 1]
    files = [encoded(image) for image in images]
    for policy in POLICIES[:2]:
        given: dict[str, Any] = {"ids": ids, "policy": policy, "seed": 7, "labels_form": "dense",
                                 "num_classes": 3}  # fmt: skip
        one = client.augment(images, labels, **given)
        other = client.augment(files, labels, **given)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)


def test_planes_first_is_understood(running: Running) -> None:
    client, images = Client(running.url), make_images(3)
    one, other = (client.augment(given, policy="hflip", ids=[1, 2, 3])
                  for given in (images, images.permute(0, 3, 1, 2)))  # fmt: skip
    assert torch.equal(one.images, other.images)


@pytest.mark.parametrize("channels", [2, 5])
def test_images_of_any_number_of_channels_are_augmented(running: Running, channels: int) -> None:
    images = make_images(6, height=20, width=channels * 8)[..., 0].view(6, 20, 8, channels)
    images, policy = images.permute(0, 3, 1, 2).contiguous(), POLICIES[1]
    made = Client(running.url).augment(images, policy=policy, seed=4, ids=range(6))
    known = Augment(policy, seed=4, dtype=torch.uint8)(images, ids=range(6))
    assert torch.equal(made.images, known)


TENSORS = {"Content_Type": MEDIA_TYPE}
WRONG: dict[str, tuple[dict[str, torch.Tensor], str, int, str]] = {
    "floats": ({"images": torch.zeros(1, 8, 8, 3)}, "hflip", 422, "invalid-images"),
    "channels at the end": ({"images": torch.zeros(1, 8, 8, 2, dtype=torch.uint8)}, "hflip", 422,
                            "invalid-images"),
    "too many channels": ({"images": torch.zeros(1, 1025, 8, 8, dtype=torch.uint8)}, "hflip", 422,
                          "invalid-images"),
    "saturation of four channels": (
        {"images": torch.zeros(1, 4, 8, 8, dtype=torch.uint8)}, "jitter(0.1, 0.1, 0.1)", 422,
        "invalid-policy"),
    "normalization of other channels": (
        {"images": make_images(1)}, "normalize([0.5, 0.5], 0.5)", 422, "invalid-policy"),
    "no images": ({"labels": torch.zeros(1)}, "hflip", 422, "invalid-images"),
    "none of them": ({"images": torch.zeros(0, 8, 8, 3, dtype=torch.uint8)}, "hflip", 422,
                     "invalid-images"),
    "a tensor too many": ({"images": make_images(1), "more": torch.zeros(1)}, "hflip", 422,
                          "invalid-images"),
    "labels of another number": ({"images": make_images(2), "labels": torch.zeros(3)}, "hflip", 422,
                                 "invalid-images"),
    "labels that are not finite": (
        {"images": make_images(1), "labels": torch.full((1,), torch.nan)},
        "hflip", 422, "invalid-images"),
    "ids below zero": ({"images": make_images(1), "ids": torch.tensor([-1])}, "hflip", 422,
                       "invalid-images"),
    "ids of floats": ({"images": make_images(1), "ids": torch.tensor([0.5])}, "hflip", 422,
                      "invalid-images"),
    "an unknown policy": ({"images": make_images(1)}, "hflop", 422, "invalid-policy"),
    "a file as policy": ({"images": make_images(1)}, "/etc/passwd.json", 422, "invalid-policy"),
    "a crop that is too large": ({"images": make_images(1)}, "center_crop(64)", 422,
                                 "invalid-images"),
    "a huge output": ({"images": make_images(1)}, "resize([99999, 99999])", 422, "invalid-policy"),
    "Kornia": ({"images": make_images(1)}, "kornia('RandomGaussianBlur', kernel_size=[3, 3], "
               "sigma=[0.1, 2.0])", 422, "invalid-policy"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_request_is_named(running: Running, name: str) -> None:
    from urllib.parse import quote

    tensors, policy, status, problem = WRONG[name]
    body = bytes(encode(tensors, {}))
    answer = running.ask("POST", f"/v1/augment?policy={quote(policy)}", body, **TENSORS)
    assert (answer.status, answer.problem) == (status, problem), answer.body


@pytest.mark.parametrize(
    ("query", "headers", "body", "status"),
    [
        ("", TENSORS, b"", 400),
        ("?policy=hflip", TENSORS, b"nonsense", 400),
        ("?policy=hflip&seed=x", TENSORS, b"", 400),
        ("?policy=hflip&nonsense=1", TENSORS, b"", 400),
        ("?policy=hflip", {"Content_Type": "text/plain"}, b"x", 415),
        ("?policy=hflip", {}, b"", 415),
        ("?policy=hflip", {"Content_Type": "multipart/form-data; boundary=x"}, b"--y", 400),
        ("?policy=hflip", {"Content_Type": "multipart/form-data"}, b"--x", 400),
        ("?policy=hflip", {**TENSORS, "Accept": "text/html"}, b"", 406),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(
    running: Running, query: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert running.ask("POST", f"/v1/augment{query}", body, **headers).status == status


def test_files_that_cannot_be_read_are_listed() -> None:
    good, ask = encoded(make_images(1)[0]), Ask.of({"policy": "resize([8, 8])"})
    with pytest.raises(Problem) as caught:
        from_files(
            [good, b"", b"<html>", good, encoded(make_images(1)[0], "BMP")], None, None, SETTINGS
        )
    assert [one["index"] for one in caught.value.more["images"]] == [1, 2, 4]
    cut = from_files([good, encoded(make_images(1, 1)[0])[:-40], good], None, None, SETTINGS)
    (made,) = augment([Push(cut, ask, parse_policy("resize([8, 8])"))], engine_for("cpu"))
    assert isinstance(made, Problem) and [one["index"] for one in made.more["images"]] == [1]


def test_a_file_of_8_bits_in_16_is_listed_and_not_black() -> None:
    good, ask = encoded(make_images(1)[0]), Ask.of({"policy": "resize([8, 8])"})
    for kind in (GRAY, COLOR):
        values = np.arange(64 * SAMPLES[kind]).reshape(8, 8, -1)
        files = from_files([good, written(kind, 16, values)], None, None, SETTINGS)
        (made,) = augment([Push(files, ask, parse_policy("resize([8, 8])"))], engine_for("cpu"))
        assert isinstance(made, Problem)
        (image,) = made.more["images"]
        assert image["index"] == 1 and "white is 65535" in image["detail"]


def test_tritonclient_gets_images_as_it_sends_them(running: Running) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
    try:
        assert (
            client.is_server_live() and client.is_server_ready() and client.is_model_ready("hflip")
        )
        assert not client.is_model_ready("hflop")
        assert client.get_model_metadata("hflip")["inputs"][0]["name"] == "IMAGES"
        images, ids = make_images(4).numpy(), np.arange(4)
        expected = Client(running.url).augment(images, policy="hflip", seed=3, ids=ids)
        wanted = expected.images.permute(0, 2, 3, 1).numpy()
        for binary in (True, False):
            inputs = [triton.InferInput("IMAGES", list(images.shape), "UINT8"),
                      triton.InferInput("IDS", [4], "INT64")]  # fmt: skip
            inputs[0].set_data_from_numpy(images, binary_data=binary)
            inputs[1].set_data_from_numpy(ids, binary_data=binary)
            outputs = [triton.InferRequestedOutput("IMAGES", binary_data=binary)]
            found = client.infer("hflip", inputs, outputs=outputs, parameters={"seed": 3})
            assert np.array_equal(found.as_numpy("IMAGES"), wanted)
        with pytest.raises(triton.InferenceServerException):
            client.infer("hflop", inputs)
    finally:
        client.close()


@pytest.mark.parametrize(
    "change",
    [{"inputs": 3}, {"inputs": [{"name": "OTHER"}]}, {"inputs": [3]},
     {"inputs": [{"name": "IMAGES", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": [1]}]},
     {"inputs": [{"name": "IMAGES", "shape": [1 << 30] * 4, "datatype": "UINT8", "data": []}]},
     {"inputs": [{"name": "IMAGES", "shape": [-1], "datatype": "UINT8", "data": []}]},
     {"inputs": [{"name": "IMAGES", "shape": [1, 1, 1, 3], "datatype": "UINT8",
                  "parameters": {"binary_data_size": 99}}]},
     {"inputs": [{"name": "IMAGES", "shape": [1, 1, 1, 3], "datatype": "WORD", "data": [1]}]}],
)  # fmt: skip
def test_wrong_kserve_requests_are_refused(running: Running, change: Any) -> None:
    body = json.dumps(change).encode()
    answer = running.ask("POST", "/v2/models/hflip/infer", body)
    assert answer.status in (400, 413, 422) and answer.detail
    for header in ("x", "-1", "99999"):
        answer = running.ask("POST", "/v2/models/hflip/infer", body,
                             Inference_Header_Content_Length=header)  # fmt: skip
        assert answer.status == 400


def test_a_preview_is_an_image(running: Running, data: dict[str, Path]) -> None:
    client = Client(running.url)
    for made in (
        client.preview(dataset="digits", policy="hflip", indices=[3, 4], epochs=[0]),
        client.preview(dataset="photos", policy="imagenet(32)"),
        client.preview(make_images(3), policy="hflip", epoch=2),
        client.preview(
            [encoded(image) for image in make_images(2)], policy="random_resized_crop(16)"
        ),
    ):
        with Image.open(io.BytesIO(made)) as one_image:
            assert one_image.format == "PNG" and one_image.width > 60 and one_image.height > 60
    text = json.dumps({"dataset": "digits", "policy": "hflip", "indices": [500]})
    answer = running.ask("POST", "/v1/preview", text, Content_Type="application/json")
    assert (answer.status, answer.problem) == (422, "invalid-policy")


def test_a_body_says_which_batch_it_is(running: Running) -> None:
    body = bytes(encode({"images": make_images(1)}, {}))
    answer = running.ask("POST", "/v1/augment?policy=hflip&epoch=3", body, **TENSORS)
    batch, said = decode_batch(answer.body)
    assert batch.epoch == 3 and said["fingerprint"] == answer.headers["augfeed-fingerprint"]
