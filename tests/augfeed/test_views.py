"""Views: several images of each sample, by name, each a pure function of the key and its number."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from torch.utils.data import Dataset

from augfeed import DataLoader, View, Views, resolve_views
from augfeed.batch import Batch
from augfeed.engines.portable import PortableEngine
from augfeed.errors import PolicyError, ReadError
from augfeed.philox import uniforms, words
from augfeed.plan import BatchRows, Plan, Sharing, draw_plan, rows_of_views, without_views
from augfeed.policy import Policy
from augfeed.presets import resolve_policy
from augfeed.read import image_frame
from augfeed.view_notation import format_views, parse_views
from augfeed.view_presets import VIEW_PRESETS

COUNT = 11
CROP = "random_resized_crop(16, scale=[0.3, 1.0])"
GLOBAL = f"{CROP} | color_jitter(0.4, 0.4) | hflip"
LOCAL = "random_resized_crop(8, scale=[0.05, 0.3]) | color_jitter(0.4, 0.4) | hflip"
VIEWS = {"global": (GLOBAL, f"{CROP} | solarize(0.5)"), "local": (LOCAL, 3)}
NUMBERS = {"global": 2, "local": 3}


def picture(k: int) -> NDArray[np.uint8]:
    rows = np.random.default_rng(k).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rows).resize((60 + 4 * k, 50), Image.Resampling.BICUBIC))


def encoded(k: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(k)).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for k in range(COUNT):
        (folder / str(k % 2)).mkdir(exist_ok=True)
        (folder / str(k % 2) / f"{k:02}.jpg").write_bytes(encoded(k))
    return folder


class Decoded(Dataset[Any]):
    """The same images in the same order, from a class that nobody knows."""

    def __init__(self, folder: Path) -> None:
        self.files = [file for label in "01" for file in sorted((folder / label).iterdir())]

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, k: int) -> tuple[NDArray[np.uint8], int]:
        return np.asarray(Image.open(self.files[k])), int(self.files[k].parent.name)


def batches(data: Any, size: int = 4, views: Any = VIEWS, **options: Any) -> list[Batch]:
    return list(DataLoader(data, size, views=views, seed=3, **options).batches())


def joined(made: list[Batch], name: str) -> torch.Tensor:
    """Return the images of a tensor, `[V, N, C, H, W]`, whatever the batches are."""
    count = NUMBERS.get(name, 2)
    parts = [batch.views[name].images for batch in made]
    return torch.cat([part.view(count, -1, *part.shape[1:]) for part in parts], 1)


def test_batches_are_view_major_tensors_by_name_and_labels_come_once(photos: Path) -> None:
    loader = DataLoader(photos, 4, views=VIEWS, seed=3)
    images, labels = next(iter(loader))
    assert list(images) == ["global", "local"]
    assert images["global"].shape == (8, 3, 16, 16)
    assert images["local"].shape == (12, 3, 8, 8)
    assert labels.shape == (4,)
    assert "views: 5 of each sample" in loader.explain()
    assert "3 of local: random_resized_crop(8" in loader.explain()
    batch = batches(photos)[0]
    assert batch.ids.tolist() == [0, 1, 2, 3] and len(batch) == 4
    assert torch.equal(batch.views["local"].images, images["local"])


@pytest.mark.parametrize("lane", ["native", "general", "arrays"])
def test_views_are_the_same_in_any_batch_and_number_of_threads(photos: Path, lane: str) -> None:
    stack = np.stack([np.asarray(Image.fromarray(picture(k)).resize((40, 40)))
                      for k in range(COUNT)])  # fmt: skip
    data: Any = {"native": photos, "general": Decoded(photos), "arrays": stack}[lane]
    made = batches(data)
    others = [batches(data, 5), batches(data, COUNT), batches(data, 1)]
    if lane != "general":
        others.append(batches(data, 3, num_workers=2))
    for other in others:
        for name in NUMBERS:
            assert torch.equal(joined(made, name), joined(other, name))


def test_views_are_the_same_on_any_ranks(photos: Path) -> None:
    whole = batches(photos, 4)[0]
    ranks = [batches(photos, 2, shard=(rank, 2))[0] for rank in range(2)]
    for name in NUMBERS:
        assert torch.equal(joined(ranks, name), joined([whole], name))


def test_lanes_cut_the_same_windows(photos: Path) -> None:
    native, general = batches(photos), batches(Decoded(photos))
    assert DataLoader(Decoded(photos), views=VIEWS).lane == "general"
    for one, other in zip(native, general, strict=True):
        for name in NUMBERS:
            assert torch.equal(one.views[name].windows, other.views[name].windows)
            assert torch.equal(one.views[name].matrices, other.views[name].matrices)
    apart = (joined(native, "global") - joined(general, "global")).abs().mean()
    assert apart < 0.02  # another decoder


@pytest.mark.parametrize("engine", ["portable", "cuda"])
def test_views_are_those_of_every_engine(photos: Path, engine: str) -> None:
    files = sorted((photos / "0").iterdir())[:2]
    made, other = batches(files), batches(files, engine=engine)
    for name in NUMBERS:
        assert (joined(made, name) - joined(other, name)).abs().max() < 0.02


def test_a_device_gets_images_decoded_once_and_one_launch_for_views_of_a_policy(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: frames of a whole batch in one buffer a policy, whose engine runs once."""
    decoded, launched = Counter[bytes](), list[tuple[int, tuple[int, int]]]()
    apply = PortableEngine.apply

    def launch(self: PortableEngine, plan: Plan, *given: Any, **options: Any) -> torch.Tensor:
        launched.append((plan.count, plan.size))
        return apply(self, plan, *given, **options)

    for name in ("decode_window", "decode_jpeg"):
        decode = getattr(image_frame, name)

        def count(data: bytes, *given: Any, decode: Any = decode) -> Any:
            made = decode(data, *given)
            decoded[bytes(data)] += made is not None
            return made

        monkeypatch.setattr(image_frame, name, count)
    monkeypatch.setattr(PortableEngine, "apply", launch)
    made = batches(photos, COUNT, engine="portable", num_workers=2)
    assert len(made) == 1 and len(decoded) == COUNT and set(decoded.values()) == {1}
    assert sorted(launched) == sorted([(COUNT, (16, 16))] * 2 + [(3 * COUNT, (8, 8))])


def test_the_first_view_draws_what_a_loader_without_views_would() -> None:
    stack = np.stack([np.asarray(Image.fromarray(picture(k)).resize((40, 40)))
                      for k in range(COUNT)])  # fmt: skip
    plain = [batch.images for batch in DataLoader(stack, 4, policy=GLOBAL, seed=3).batches()]
    made = joined(batches(stack), "global")[0]
    assert torch.equal(made, torch.cat(plain))


def test_a_number_of_views_by_a_policy_is_one_tensor(photos: Path) -> None:
    loader = DataLoader(photos, 4, views=2, policy=GLOBAL, seed=3)
    images, labels = next(iter(loader))
    assert images.shape == (8, 3, 16, 16) and labels.shape == (4,)
    assert not torch.equal(images[:4], images[4:])


def test_views_are_independent_draws() -> None:
    """No view's draws, of any stream, say anything of another's: chi-square over pairs."""
    count, views = 4000, 4
    rows = rows_of_views(BatchRows.of(np.arange(count)), 0, views)
    for stream in (5, 13, 22, 48, 64):
        u = uniforms(words(9, 1, rows.ids, [(stream, 0)])[0, 0]).reshape(views, count)
        for a in range(views):
            for b in range(a):
                table, _, _ = np.histogram2d(u[a], u[b], bins=8, range=[[0, 1]] * 2)
                assert stats.chi2_contingency(table).pvalue > 1e-4


def test_every_view_of_every_sample_has_a_key_of_its_own() -> None:
    samples = np.array([0, 1, 5, 2**32, 2**35 + 7, 2**36, 2**47 + 3, 2**48 - 1])
    rows = rows_of_views(BatchRows.of(samples), 0, 64)
    drawn = words(1, 0, rows.ids, [(5, 0)])[0].T
    assert len(np.unique(drawn, axis=0)) == 64 * len(samples)
    assert without_views(rows.ids).tolist() == samples.tolist() * 64


@pytest.mark.parametrize("engine", ["cpu", "portable", "cuda"])
def test_noise_of_pixels_is_that_of_the_view_on_every_engine(engine: str) -> None:
    from augfeed.engines import engine_for

    rows = rows_of_views(BatchRows.of(np.array([3, 2**40 + 1])), 0, 3)
    policy = resolve_policy("gaussian_noise(0.5)")
    plan = draw_plan(policy, rows, seed=1, epoch=0, size=(4, 8))
    images = torch.full((6, 4, 8, 3), 128, dtype=torch.uint8)
    made = engine_for("cpu", engine).apply(plan, images)
    assert len({tuple(image.flatten().tolist()) for image in made}) == 6
    wanted = engine_for("cpu", "cpu").apply(plan, images)
    assert (made - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["crop", "geometry", "color"])
def test_views_share_what_they_are_told_to_and_nothing_else(photos: Path, kind: str) -> None:
    line = f"{CROP} | hflip | rotate(20) | color_jitter(0.4, 0.4)"
    views = Views(View(resolve_policy(line), 3), share=kind)
    (batch,) = batches(photos, COUNT, views)
    plan = batch.views[""].plans[0]
    boxes = batch.views[""].windows.view(3, COUNT, 4)
    same = {
        "crop": bool((boxes == boxes[:1]).all()),
        "geometry": alike(plan.flip_x) and alike(plan.inverse),
        "color": alike(plan.columns.brightness),
    }
    assert same == {name: name == kind for name in same}


def alike(column: NDArray[Any]) -> bool:
    views = column.reshape(3, COUNT, -1)
    return bool((views == views[:1]).all())


def test_programs_of_colors_are_shared(photos: Path) -> None:
    views = Views({"global": ("dino_global_1(16)", "dino_v2_global_1(16)")}, share="color")
    (batch,) = batches(photos, COUNT, views)
    first, second = (plan.program.slots for plan in batch.views["global"].plans)
    assert (first.magnitude[:, :4] == second.magnitude[:, :4]).all()
    assert first.magnitude.any()


def test_local_windows_lie_inside_global_ones(photos: Path) -> None:
    views = Views({"global": (CROP, 2), "local": (LOCAL, 4)}, inside={"local": "global"})
    for lane in (photos, Decoded(photos)):
        (batch,) = batches(lane, COUNT, views)
        outer = batch.views["global"].windows.view(2, COUNT, 4).repeat_interleave(2, 0)
        inner = batch.views["local"].windows.view(4, COUNT, 4)
        assert (inner[..., :2] >= outer[..., :2]).all()
        assert (inner[..., :2] + inner[..., 2:] <= outer[..., :2] + outer[..., 2:]).all()


def test_matrices_say_where_each_view_lies_in_its_image() -> None:
    stack = np.stack([np.asarray(Image.fromarray(picture(k)).resize((40, 32)))
                      for k in range(COUNT)])  # fmt: skip
    batch = batches(stack)[1]
    view = batch.views["local"]
    corners = torch.tensor([[0.0, 0.0, 1.0], [8.0, 8.0, 1.0]])
    found = (view.matrices @ corners.T)[:, :2].sort(dim=2).values  # flips swap them
    top, left, height, width = view.windows.T
    assert torch.allclose(found[:, 0].T, torch.stack([left, left + width]).float(), atol=1e-3)
    assert torch.allclose(found[:, 1].T, torch.stack([top, top + height]).float(), atol=1e-3)


def test_a_view_shows_its_window_of_the_image(photos: Path) -> None:
    views = {"whole": "resize([50, 60])", "part": CROP}
    for k, batch in enumerate(batches(photos, 1, views)):
        image = torch.from_numpy(Decoded(photos)[k][0] / np.float32(255)).permute(2, 0, 1)
        top, left, height, width = batch.views["part"].windows[0].tolist()
        cut = image[:, top : top + height, left : left + width]
        wanted = torch.nn.functional.interpolate(
            cut[None], (16, 16), mode="bilinear", antialias=True, align_corners=False
        )
        assert (batch.views["part"].images - wanted).abs().mean() < 0.02


@pytest.mark.parametrize("rule", ["replace", "skip", "raise"])
def test_a_broken_file_is_the_same_for_all_views(photos: Path, tmp_path: Path, rule: str) -> None:
    for k in range(4):
        (tmp_path / "a").mkdir(exist_ok=True)
        data = encoded(k)
        (tmp_path / "a" / f"{k}.jpg").write_bytes(b"not an image" if k == 1 else data)
    if rule == "raise":
        with pytest.raises(ReadError, match=r"1\.jpg"):
            batches(tmp_path)
        return
    (batch,) = batches(tmp_path, on_error=rule)
    if rule == "skip":
        assert batch.ids.tolist() == [0, 2, 3]
        assert batch.views["local"].images.shape == (9, 3, 8, 8)
        assert batch.views["local"].windows.shape == (9, 4)
        assert batch.targets.shape == (3,)
        return
    other = int(batch.ids[1])
    assert other != 1
    for name in NUMBERS:
        heights = batch.views[name].sizes[:, 1]
        assert heights.tolist() == [60, 60 + 4 * other, 68, 72]


def test_a_cache_holds_what_views_are_cut_of(photos: Path) -> None:
    """Of an image that it keeps smaller, windows are those of the smaller one."""
    (made,), (again,) = batches(photos, COUNT), batches(photos, COUNT, cache="ram")
    one, other = made.views["local"], again.views["local"]
    assert (other.sizes[:, 0] == 24).all()
    sides = [torch.from_numpy(view.sizes).repeat(3, 2) for view in (one, other)]
    shares = [view.windows / side for view, side in zip((one, other), sides, strict=True)]
    assert (shares[0] - shares[1]).abs().max() < 0.06


def test_a_pass_goes_on_where_it_stood_and_refuses_other_views(photos: Path) -> None:
    loader = DataLoader(photos, 4, views=VIEWS, seed=3)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    other = DataLoader(photos, 4, views=VIEWS, seed=3)
    other.load_state_dict(state)
    for one, again in zip(iterator, other, strict=True):
        assert torch.equal(one[0]["local"], again[0]["local"])
    changed = DataLoader(photos, 4, views={**VIEWS, "local": (LOCAL, 4)}, seed=3)
    with pytest.raises(ValueError, match="policy"):
        changed.load_state_dict(state)


@pytest.mark.parametrize("name", VIEW_PRESETS)
def test_presets_of_views_survive_line_and_json(name: str) -> None:
    views = resolve_views(name)
    assert views.name == name
    assert parse_views(format_views(views)).digest == views.digest
    assert Views.from_json(views.to_json()) == views
    assert resolve_views({"tensors": {key: list(value) for key, value in views.tensors}}) == Views(
        {key: list(value) for key, value in views.tensors}
    )


def test_the_blur_of_dino_v2_is_the_one_that_is_asked_for() -> None:
    def chances(views: Views) -> list[float]:
        steps = [part.policy.programs[0].operations for part in views.parts]
        blurs = [[step.p for step in own if step.op == "gaussian_blur"] for own in steps]
        return [own[0] if own else 0.0 for own in blurs]

    assert chances(resolve_views("dino_v2")) == [0.0, 0.9, 0.5]
    assert chances(resolve_views('dino_v2(blur="meant")')) == [1.0, 0.1, 0.5]
    with pytest.raises(PolicyError, match="blur"):
        resolve_views('dino_v2(blur="other")')


def test_a_line_says_what_is_shared_and_what_lies_inside() -> None:
    line = "share color; global: dino_global_1, dino_global_2; local in global: dino_local x 8"
    views = resolve_views(line)
    assert (views.share, views.inside, views.count) == (("color",), (("local", "global"),), 10)
    assert [part.count for part in views.parts] == [1, 1, 8]
    assert parse_views(str(views)).digest == views.digest


def test_shared_draws_are_those_of_the_first_view() -> None:
    rows = rows_of_views(BatchRows.of(np.arange(5)), 2, 2)
    policy: Policy = resolve_policy("color_jitter(0.4) | hflip")
    plan = draw_plan(policy, rows, seed=1, epoch=0, size=(8, 8), sharing=Sharing(color=True))
    plain = draw_plan(policy, BatchRows.of(np.arange(5)), seed=1, epoch=0, size=(8, 8))
    assert plan.columns.brightness.tolist() == plain.columns.brightness.tolist() * 2
    assert plan.flip_x.tolist() != plain.flip_x.tolist() * 2


def test_a_view_is_explained_as_the_loader_draws_it(photos: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from augfeed.cli import app

    line = f"share color; global: {GLOBAL} x 2; local in global: {LOCAL}"
    (batch,) = batches(photos, COUNT, line)
    args = ["explain", "--data", str(photos), "--policy", line, "--index", "4", "--view", "2",
            "--seed", "3", "--json", "--no-shuffle",
            "--out", str(tmp_path / "view.png")]  # fmt: skip
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    steps = json.loads(done.stdout)["steps"]
    plan = batch.views["local"].plans[0]
    jitter = next(step for step in steps if step["operation"] == "color_jitter")
    assert jitter["values"]["brightness"] == pytest.approx(float(plan.columns.brightness[4]), 1e-4)
    crop = next(step for step in steps if step["operation"] == "random_resized_crop")
    top, left, height, width = batch.views["local"].windows[4].tolist()
    assert crop["values"]["box"] == [top, left, top + height, left + width]
    args[4], args[8] = "dino", "10"
    assert "[0, 10)" in " ".join(CliRunner().invoke(app, args).output.split())
