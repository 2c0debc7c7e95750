"""A batch as named tensors, and back."""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from augfeed.batch import Batch
from augfeed.errors import WireError
from augfeed.targets import Form, Targets
from augfeed.wire.fields import (
    FIELDS_SCHEMA,
    fields_of_tensors,
    fields_to_tensors,
    is_fields,
)
from augfeed.wire.tensors import Body, decode, encode
from augfeed.wire.views import VIEWS_SCHEMA, views_of_tensors, views_to_tensors

SCHEMA = "1"
Layout = Literal["NCHW", "NHWC"]


def encode_batch(
    batch: Batch, metadata: Mapping[str, str], *, layout: Layout = "NCHW", maps: bool = False
) -> Body:
    """Return the bytes of a batch, which share its memory; see `batch_tensors`."""
    tensors, known = batch_tensors(batch, layout=layout, maps=maps)
    return encode(tensors, {**known, **metadata})


def batch_tensors(
    batch: Batch, *, layout: Layout = "NCHW", maps: bool = False
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return a batch as named tensors, and what is sent beside them.

    Tensors: `images` `[B, C, H, W]`, or `[B, H, W, C]` for "NHWC", or those of
    `augfeed.wire.views`, with `maps` where their views lie; `ids` int64 `[B]`; for labels `labels`
    (int64 `[B]`, floats `[B]` or `[B, K]`), or, of sparse `Targets`, `label_a`, `label_b` and
    `lam`, with `epsilon`, `num_classes` and `multi_hot` among the metadata; of masks, boxes and
    keypoints those of `augfeed.wire.fields`.
    """
    known = {"schema": SCHEMA, "layout": layout, "epoch": str(batch.epoch), "step": str(batch.step)}
    last = layout == "NHWC"
    if batch.views:
        tensors, told = views_to_tensors(batch.views, last=last, maps=maps)
        known |= told
    else:
        tensors = {"images": batch.images.permute(0, 2, 3, 1) if last else batch.images}
    tensors["ids"] = batch.ids
    targets = batch.targets
    if isinstance(targets, Targets):
        tensors |= {"label_a": targets.a, "label_b": targets.b, "lam": targets.lam}
        known["epsilon"] = repr(targets.epsilon)
        known["multi_hot"] = str(int(targets.multi_hot))
        if targets.num_classes is not None:
            known["num_classes"] = str(targets.num_classes)
    elif is_fields(targets):
        fields, told = fields_to_tensors(targets)
        tensors |= fields
        known |= {**told, "schema": FIELDS_SCHEMA}
    elif targets is not None:
        tensors["labels"] = targets
    return tensors, known


def decode_batch(body: Any) -> tuple[Batch, dict[str, str]]:
    """Return a batch and its metadata; `Batch.plan` is None.

    Images are `[B, C, H, W]`, in the memory format they were sent in. Raises `WireError`.
    """
    tensors, metadata = decode(body)
    try:
        schema = metadata["schema"]
        if schema not in (SCHEMA, FIELDS_SCHEMA, VIEWS_SCHEMA):
            raise WireError(f"schema={schema!r} is not {SCHEMA!r}: use the same augfeed versions")
        batch = _batch(tensors, metadata, schema)
    except (KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"this body is not a batch ({error}): ask a service for one") from None
    return batch, metadata


def _batch(tensors: dict[str, torch.Tensor], metadata: Mapping[str, str], schema: str) -> Batch:
    ids = tensors.pop("ids")
    if ids.ndim != 1 or ids.dtype != torch.int64:
        raise WireError(
            f"ids of {ids.dtype} and shape {tuple(ids.shape)} are not a batch's: send int64 [B]"
        )
    count, views = len(ids), {}
    if schema == VIEWS_SCHEMA:
        views = views_of_tensors(tensors, metadata, count)
        images = next(iter(views.values())).images
    else:
        images = tensors.pop("images")
        if metadata["layout"] == "NHWC":
            images = images.permute(0, 3, 1, 2)
        if images.ndim != 4 or len(images) != count:
            raise WireError(
                f"images of shape {tuple(images.shape)} and ids of shape {tuple(ids.shape)} are no "
                "batch: send [B, C, H, W] and int64 [B]"
            )
    if schema == FIELDS_SCHEMA:
        targets = fields_of_tensors(tensors, metadata, count)
    elif (targets := _targets(tensors, metadata)) is not None and len(targets) != count:
        raise WireError(f"{len(targets)} labels do not fit {count} samples: send one for each")
    return Batch(images, targets, ids, int(metadata["epoch"]), int(metadata["step"]), None, views)


def _targets(tensors: dict[str, torch.Tensor], metadata: Mapping[str, str]) -> Any:
    if "lam" not in tensors:
        return tensors.get("labels")
    a, b, lam = (tensors[name] for name in ("label_a", "label_b", "lam"))
    if not a.shape == b.shape or a.ndim not in (1, 2) or lam.shape != a.shape[:1]:
        raise WireError(
            f"label_a {tuple(a.shape)}, label_b {tuple(b.shape)} and lam {tuple(lam.shape)} do not "
            "fit each other: send [B] or [B, K], twice, and [B]"
        )
    classes = metadata.get("num_classes")
    return Targets(
        a, b, lam, epsilon=float(metadata["epsilon"]),
        num_classes=None if classes is None else int(classes),
        multi_hot=metadata["multi_hot"] == "1",
    )  # fmt: skip


def formed(targets: Any, form: Form, *, softens: bool) -> Any:
    """Return compact labels in the form that a loader gives them out in.

    `softens` says whether the policy mixes or smooths: "auto" makes rows of shares only then.
    """
    if not isinstance(targets, Targets) or form == "sparse":
        return targets
    if form == "auto" and not softens and targets.a.ndim == 1:
        return targets.a
    return targets.dense()
