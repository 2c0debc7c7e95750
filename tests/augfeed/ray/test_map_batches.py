"""`MapBatches` draws for a sample what the loader draws for it, in whichever block it comes."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError, PolicyError, ReadError
from tests.augfeed.ray.clusters import COUNT, DATA, PIXELS

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")

from augfeed.ray import MapBatches  # noqa: E402  (behind the skip)

POLICY = "random_resized_crop(8) | hflip | color_jitter(0.3, 0.3) | normalize(0.5, 0.25)"
IDS = np.arange(COUNT)


def columns(rows: Any = slice(None), image: Any = PIXELS) -> dict[str, Any]:
    return {"image": image[rows], "label": DATA[1][rows], "id": IDS[rows]}


def expected(policy: str, **given: Any) -> tuple[Any, Any]:
    loader: DataLoader[Any] = DataLoader(DATA, COUNT, policy=policy, seed=3, **given)
    loader.set_epoch(2)
    images, labels = next(iter(loader))
    return images.numpy(), labels.numpy()


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "image",
    [PIXELS, np.array([png(one) for one in PIXELS], object)],
    ids=["arrays", "encoded"],
)
@pytest.mark.parametrize(
    "given",
    [{}, {"dtype": torch.float16, "channels_last": True}],
    ids=["float32", "float16, channels last"],
)
def test_a_sample_gets_what_the_loader_gives_it_in_any_block(image: Any, given: Any) -> None:
    images, labels = expected(POLICY, **given)
    mapped = MapBatches(POLICY, seed=3, epoch=2, **given)
    order = np.random.default_rng(1).permutation(COUNT)
    for rows in np.array_split(order, [1, 9, 30]):
        made = mapped({**columns(rows, image), "path": IDS[rows]})
        channels_first = np.moveaxis(made["image"], 3, 1) if given else made["image"]
        assert channels_first.dtype == images.dtype
        assert np.array_equal(channels_first, images[rows])
        assert np.array_equal(made["label"], labels[rows])
        assert np.array_equal(made["path"], made["id"])


def test_images_of_many_channels_are_those_of_the_loader() -> None:
    bands = np.concatenate([PIXELS, PIXELS[..., :2] ^ 255], axis=3)
    policy = "random_resized_crop(8) | hflip | rotate(20) | color_jitter(0.3, 0.3)"
    loader: DataLoader[Any] = DataLoader((bands, DATA[1]), COUNT, policy=policy, seed=3)
    images, _ = next(iter(loader))
    made = MapBatches(policy, seed=3, channels=5, dtype=torch.float32)(columns(image=bands))
    assert np.array_equal(made["image"], images.numpy())
    with pytest.raises(InputTypeError, match="is an encoded file, which has 1 or 3 channels"):
        MapBatches(policy, channels=5)(columns(image=np.array([png(p) for p in PIXELS], object)))
    with pytest.raises(InputError, match="needs red, green and blue"):
        MapBatches("gray(0.5)", channels=5)


def test_partners_are_those_of_the_block() -> None:
    policy = "hflip | cutmix(1.0)"
    images, labels = expected(policy, dtype=torch.uint8, num_classes=6)
    made = MapBatches(policy, seed=3, epoch=2, num_classes=6)(columns())
    assert np.array_equal(made["image"], images) and np.array_equal(made["label"], labels)


def test_a_driver_of_a_cluster_may_call_it_too(nodes: Any) -> None:
    images, _ = expected(POLICY)
    assert np.array_equal(MapBatches(POLICY, seed=3, epoch=2)(columns())["image"], images)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Data about itself
def test_a_dataset_of_ray_comes_out_augmented(nodes: Any) -> None:
    images, labels = expected(POLICY)
    blocks = np.array_split(PIXELS, 4)  # Ray warns where actors have no block each
    dataset = ray.data.from_numpy(blocks).rename_columns({"data": "image"})
    ids = ray.data.from_items([{"id": int(k), "label": int(DATA[1][k])} for k in IDS])
    given = {"policy": POLICY, "seed": 3, "epoch": 2}
    mapped = dataset.zip(ids).map_batches(
        MapBatches, fn_constructor_kwargs=given, batch_size=16, concurrency=2, num_cpus=0.5
    )
    rows = sorted(mapped.take_all(), key=lambda row: row["id"])
    assert [row["label"] for row in rows] == labels.tolist()
    assert np.array_equal(np.stack([row["image"] for row in rows]), images)


def test_evaluation_is_the_same_whatever_seed_epoch_and_id() -> None:
    first = MapBatches("evaluation(8, 10)", seed=1)(columns())["image"]
    other = {**columns(), "id": IDS[::-1].copy()}
    assert first.shape == (COUNT, 3, 8, 8) and first.dtype == np.float32
    assert np.array_equal(first, MapBatches("evaluation(8, 10)", seed=9, epoch=4)(other)["image"])


def test_images_of_other_sizes_and_without_labels_are_cut_to_one() -> None:
    several = np.empty(2, object)
    several[:] = [PIXELS[0], PIXELS[1][:9]]
    made = MapBatches("random_resized_crop(4)")({"image": several, "id": IDS[:2]})
    assert made["image"].shape == (2, 3, 4, 4) and set(made) == {"image", "id"}


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"id": None}, InputError, "no 'id'.*a number of its own"),
        ({"image": None}, InputError, "no 'image'.*rename_columns"),
        ({"id": IDS / 2}, InputTypeError, "dtype float64"),
        ({"id": IDS - 1}, InputError, "ids from -1"),
        ({"image": PIXELS / 255}, InputTypeError, r"image of id 0 has dtype float64"),
        ({"image": PIXELS[..., 0]}, InputTypeError, r"shape \(12, 10, 1\)"),
        ({"image": np.array([b"broken"] * COUNT, object)}, ReadError, "id 0"),
        ({"label": DATA[1] / 2}, InputError, "label"),
        ({"label": np.array(["a"] * COUNT)}, InputTypeError, "column 'label' has dtype <U1"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_used_are_named(change: Any, error: Any, text: str) -> None:
    given = {name: value for name, value in {**columns(), **change}.items() if value is not None}
    with pytest.raises(error, match=text):
        MapBatches("hflip | cutmix(1.0)", num_classes=6)(given)


def test_arguments_that_cannot_be_meant_are_named() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"seed": -1}, "seed=-1"), ({"dtype": torch.bfloat16}, "no bfloat16"),
        ({"channels": 0}, "channels=0"), ({"num_classes": 0}, "num_classes=0"),
        ({"dtype": torch.uint8}, "normalize"),
    )  # fmt: skip
    for given, text in wrong:
        with pytest.raises(InputError, match=text):
            MapBatches(POLICY, **given)
    with pytest.raises(PolicyError, match=r"mosaic.*needs the boxes or masks"):
        MapBatches("mosaic(0.5) | random_resized_crop(8)")


@pytest.mark.parametrize("given", [{}, {"channels_last": True}])
def test_an_empty_block_has_the_shape_of_all_others(given: dict[str, Any]) -> None:
    mapped = MapBatches("random_resized_crop(8) | mixup(1.0)", num_classes=6, **given)
    full, empty = mapped(columns()), mapped(columns(slice(0, 0)))
    for name in ("image", "label", "id"):
        assert empty[name].shape == (0, *full[name].shape[1:])
        assert empty[name].dtype == full[name].dtype


def test_an_image_smaller_than_its_crop_is_named() -> None:
    several = np.empty(2, object)
    several[:] = [PIXELS[0], PIXELS[1][:4]]
    with pytest.raises(InputError, match="image of id 1:"):
        MapBatches("random_crop(8)")({"image": several, "id": IDS[:2]})
