"""A batch through bytes and back; what a plan's description is, and its name."""

import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import Order, Output, Pipeline, parse_policy, resolve_policy
from augfeed.batch import Batch
from augfeed.errors import InputError, WireError
from augfeed.policy import Kornia, Policy
from augfeed.targets import Targets, softens
from augfeed.wire import Description, decode_batch, dtype_name, encode, encode_batch, formed

IMAGES = np.arange(12 * 8 * 8 * 3, dtype=np.uint8).reshape(12, 8, 8, 3)
LABELS = np.arange(12) % 4
MIXED = "hflip | mixup(1.0) | label_smoothing(0.1)"


def pipeline(policy: str, form: Any, labels: Any = LABELS, **output: Any) -> Pipeline:
    return Pipeline(
        (IMAGES, labels), parse_policy(policy), order=Order(5, shuffle=True), seed=1,
        output=Output(**output), targets=form,
    )  # fmt: skip


def same(some: Any, other: Any) -> bool:
    if isinstance(some, Targets):
        parts = ("a", "b", "lam")
        rest = replace(some, a=other.a, b=other.b, lam=other.lam)
        return rest == other or all(torch.equal(getattr(some, p), getattr(other, p)) for p in parts)
    return some is other is None or bool(torch.equal(some, other))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("last", [False, True])
def test_images_come_back_in_type_values_and_memory_format(dtype: torch.dtype, last: bool) -> None:
    batch = pipeline("hflip", "auto", dtype=dtype, channels_last=last).batch(2, 1)
    body = encode_batch(batch, {"plan": "x"}, layout="NHWC" if last else "NCHW")
    back, metadata = decode_batch(bytearray(bytes(body)))
    assert back.images.dtype == dtype and back.images.stride() == batch.images.stride()
    assert torch.equal(back.images, batch.images) and torch.equal(back.ids, batch.ids)
    assert torch.equal(back.targets, batch.targets)
    assert (back.epoch, back.step, metadata["plan"]) == (2, 1, "x")


@pytest.mark.parametrize("policy", ["hflip", MIXED, "hflip | label_smoothing(0.1)"])
@pytest.mark.parametrize("form", ["auto", "dense", "sparse"])
@pytest.mark.parametrize("labels", [LABELS, np.eye(4, dtype=np.float32)[LABELS],
                                    np.eye(4, dtype=bool)[LABELS], None])  # fmt: skip
def test_compact_labels_become_those_of_the_loader(policy: str, form: Any, labels: Any) -> None:
    expected = pipeline(policy, form, labels).batch(0, 0).targets
    sent = pipeline(policy, "sparse", labels).batch(0, 0)
    back, _ = decode_batch(bytes(encode_batch(sent, {})))
    made = formed(back.targets, form, softens=softens(parse_policy(policy)))
    assert type(made) is type(expected) and same(made, expected)
    if isinstance(made, Targets):
        assert (made.epsilon, made.num_classes, made.multi_hot) == (
            expected.epsilon, expected.num_classes, expected.multi_hot,
        )  # fmt: skip


def test_mixed_labels_take_a_few_bytes_a_sample() -> None:
    batch = pipeline(MIXED, "sparse").batch(0, 0)
    less = encode_batch(replace(batch, targets=None), {})
    assert sum(part.nbytes for part in encode_batch(batch, {}).parts[1:]) - sum(
        part.nbytes for part in less.parts[1:]
    ) == 5 * (8 + 8 + 4)


def tensors() -> dict[str, torch.Tensor]:
    return {"images": torch.zeros(2, 3, 4, 4), "ids": torch.zeros(2, dtype=torch.int64)}


METADATA = {"schema": "1", "layout": "NCHW", "epoch": "0", "step": "0"}
COMPACT = {"label_a": torch.zeros(2, dtype=torch.int64),
           "label_b": torch.zeros(2, dtype=torch.int64), "lam": torch.ones(2)}  # fmt: skip
BROKEN: dict[str, tuple[dict[str, torch.Tensor], dict[str, str]]] = {
    "another schema": ({}, {"schema": "2"}),
    "no number": ({}, {"epoch": "zero"}),
    "images of three dimensions": ({"images": torch.zeros(2, 4, 4)}, {}),
    "ids of another length": ({"ids": torch.zeros(3, dtype=torch.int64)}, {}),
    "ids of floats": ({"ids": torch.zeros(2)}, {}),
    "labels of another length": ({"labels": torch.zeros(3)}, {}),
    "half of compact labels": ({"lam": torch.ones(2)}, {}),
    "compact labels without smoothing": (COMPACT, {}),
    "compact labels that do not fit": ({**COMPACT, "lam": torch.ones(3)}, {"epsilon": "0",
                                                                           "multi_hot": "0"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_batch_is_refused(name: str) -> None:
    more, said = BROKEN[name]
    with pytest.raises(WireError):
        decode_batch(bytes(encode({**tensors(), **more}, {**METADATA, **said})))
    with pytest.raises(WireError, match="not a batch"):
        decode_batch(bytes(encode({"ids": torch.zeros(2)}, METADATA)))
    assert isinstance(decode_batch(bytes(encode(tensors(), METADATA)))[0], Batch)


def described(**given: Any) -> Description:
    return Description(**{"dataset": "digits", "policy": resolve_policy("digits"), **given})


def test_the_name_of_a_plan_is_the_hash_of_its_canonical_json() -> None:
    plan = described(seed=3, batch_size=8)
    assert Description.parse(plan.canonical()) == plan
    loose = json.dumps(json.loads(plan.canonical()), indent=2)
    assert Description.parse(loose).id == plan.id and len(plan.id) == 32
    # Written down, so that other languages can check theirs.
    plain = Description(dataset="digits", policy=Policy([]))
    assert plain.canonical() == (
        b'{"batch_size":1,"dataset":"digits","drop_last":false,"dtype":"uint8","labels":"compact",'
        b'"layout":"NCHW","policy":{"invariances":null,"name":null,"operations":[]},"seed":0,'
        b'"shuffle":true}'
    )
    assert plain.id == "59e237e6070e5172d236e7c45bdd485e"


@pytest.mark.parametrize("change", [{"seed": 5}, {"dataset": "b"}, {"batch_size": 9}, {}])
def test_a_copy_with_other_values_has_a_name_of_its_own(change: dict[str, Any]) -> None:
    plan = described(seed=3)
    made = {**plan.__dict__, **change}
    fresh = Description(**{name: made[name] for name in Description.model_fields})
    for other in (plan.model_copy(update=change), plan.model_copy(update=change, deep=True)):
        assert other == fresh and other.id == fresh.id
        assert (other.id == plan.id) == (not change)
        assert hash(other) == hash(fresh) and other.canonical() == fresh.canonical()
    for same in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
        assert same == plan and same.id == plan.id


def test_the_canonical_json_is_that_of_rfc_8785() -> None:
    policy = Policy([*parse_policy("color_jitter(1.0, 0.5) | hflip(0.000001)").operations],
                    name="\u20ac$\u000f\nA'B\"\\\\\"/")  # fmt: skip
    plan = Description(dataset="a", policy=policy, seed=2**64 - 1)
    text = plan.canonical().decode()
    assert '"name":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"' in text
    assert '"brightness":1,"contrast":0.5,"hue":0,' in text and '"p":0.000001' in text
    assert text.endswith('"seed":"18446744073709551615","shuffle":true}')
    for again in (plan.canonical(), plan.to_json(), json.dumps(json.loads(plan.to_json()))):
        assert Description.parse(again).id == plan.id


@pytest.mark.parametrize("seed", [0, 1, 2**53 - 1, 2**53, 2**53 + 1, 10**19, 2**64 - 1])
def test_a_seed_comes_back_as_it_was_whatever_reads_it(seed: int) -> None:
    plan = described(seed=seed)
    for text in (plan.canonical(), plan.to_json()):
        assert Description.parse(text) == plan
        # What JavaScript has of the numbers in it.
        doubles = json.loads(text, parse_int=lambda digits: int(float(digits)))
        assert Description.parse(json.dumps(doubles)) == plan


@pytest.mark.parametrize(
    "seed", ["0", "3", str(2**53 - 1), str(2**64), "09007199254740993", "9007199254740993.0", "",
             "+9007199254740993", " 9007199254740993", "-9007199254740993", "\uff19" * 17],
)  # fmt: skip
def test_no_other_text_is_a_seed(seed: str) -> None:
    with pytest.raises(InputError, match="seed="):
        Description.parse(json.dumps({"dataset": "a", "policy": {}, "seed": seed}))


def test_what_has_no_canonical_json_is_refused() -> None:
    def stage(value: Any) -> bytes:
        operation = {"op": "kornia", "name": "RandomGaussianNoise", "parameters": {"mean": value}}
        return json.dumps({"dataset": "a", "policy": {"operations": [operation]}}).encode()

    for whole in (2**53 + 1, 2**62 + 1, -(2**53) - 1):
        with pytest.raises(InputError, match="canonical JSON"):
            Description.parse(stage(whole))
    assert Description.parse(stage(2**60)).id == Description.parse(stage(2.0**60)).id
    with pytest.raises(ValueError, match=r"name='.ud800' is not allowed"):
        Description(dataset="a", policy=Policy([], name="\ud800"))


def test_a_float_stays_one_on_its_way() -> None:
    plan = Description(dataset="a", policy=Policy([Kornia("RandomGaussianNoise", mean=1.0)]))
    (stage,) = Description.parse(plan.to_json()).policies[0].stages
    assert isinstance(stage.arguments["mean"], float)


def test_every_field_is_part_of_the_name() -> None:
    others: list[dict[str, Any]] = [
        {"dataset": "other"}, {"policy": parse_policy("hflip")}, {"seed": 1}, {"batch_size": 2},
        {"shuffle": False}, {"drop_last": True}, {"dtype": "float16"}, {"layout": "NHWC"},
        {"labels": "dense"},
    ]  # fmt: skip
    assert len({described(**other).id for other in [{}, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b"nonsense", b'{"dataset": "../etc", "policy": {}}',
     b'{"dataset": "a\\n", "policy": {}}', b'{"dataset": "a", "policy": {}, "more": 1}',
     b'{"dataset": "a", "policy": {}, "batch_size": 0}', b"[" * 100_000,
     b'{"dataset": "a", "policy": {}, "seed": -1}',
     b'{"dataset": "a", "policy": {}, "shuffle": "yes"}',
     b'{"dataset": "a", "policy": "/etc/policy.json"}', b'{"dataset": "a", "policy": "nope"}',
     b'{"dataset": "a", "policy": {"operations": [{"op": "exec"}]}}'],
)  # fmt: skip
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(InputError):
        Description.parse(text)


def test_a_policy_in_one_line_or_a_preset_is_the_same_plan_as_its_operations() -> None:
    for text in ("random_crop(8) | hflip", "imagenet(32)"):
        plan = Description.parse(json.dumps({"dataset": "a", "policy": text}))
        assert plan.id == Description(dataset="a", policy=resolve_policy(text)).id
        assert Description.parse(plan.to_json()) == plan


def test_dtypes_have_names() -> None:
    assert dtype_name(torch.bfloat16) == "bfloat16"
    with pytest.raises(InputError, match="float64"):
        dtype_name(torch.float64)
    assert described(dtype="float16", layout="NHWC").output == Output(torch.float16, True)
