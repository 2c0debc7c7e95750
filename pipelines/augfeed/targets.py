"""Targets: what the labels of a batch become under its plan."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from augfeed.async_copy import copied
from augfeed.errors import InputError, InputTypeError
from augfeed.fields.mask_loss import mask_cross_entropy, mask_pair
from augfeed.labels import as_column, check_classes, check_rows, check_width, one_each
from augfeed.plan import NONE, Plan
from augfeed.policy import CutMix, LabelSmoothing, Mixup, OneOf, Policy

if TYPE_CHECKING:
    from augfeed.fields.annotated import FieldTargets
    from augfeed.fields.masks import MixedMask

Form = Literal["auto", "sparse", "dense"]
Reduction = Literal["mean", "sum", "none"]
SLACK = 1e-3  # how far the sum of a soft label may be from 1
MOST_CLASSES = 10_000_000  # of dense rows: 40 MB a sample


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Mixed and smoothed labels of `B` samples, before they become rows of `K` shares.

    `a` and `b` are the own and the partner's labels: int64 `[B]` class numbers, or float32 `[B, K]`
    for soft and multi-hot labels. `lam` float32 `[B]` is the share of `a` (1710.09412, 1905.04899).
    `epsilon` is the label smoothing (1512.00567) that `dense` and the losses apply, once. A row
    that nobody mixes has `lam` 1 and `b` equal to `a`. `num_classes` is `K`, if known.
    """

    a: torch.Tensor
    b: torch.Tensor
    lam: torch.Tensor
    epsilon: float = 0.0
    num_classes: int | None = None
    multi_hot: bool = False

    def __len__(self) -> int:
        return len(self.lam)

    def __getitem__(self, rows: slice | torch.Tensor) -> "Targets":
        """Return the targets of some rows; those of a slice share memory with these."""
        return replace(self, a=self.a[rows], b=self.b[rows], lam=self.lam[rows])

    @property
    def is_smoothed(self) -> bool:
        """Whether label smoothing is part of these targets already."""
        return self.epsilon > 0

    @property
    def hard(self) -> bool:
        """Whether nothing softens the labels: no row is mixed, none smoothed (waits for a GPU)."""
        return not self.is_smoothed and bool((self.lam == 1).all())

    def to(self, device: Any, *, non_blocking: bool = False) -> "Targets":
        """Return the targets on a device."""
        a, b, lam = (
            part.to(device, non_blocking=non_blocking) for part in (self.a, self.b, self.lam)
        )
        return replace(self, a=a, b=b, lam=lam)

    def pin_memory(self) -> "Targets":
        """Return the targets in page-locked memory, from where copies to a GPU run aside."""
        return replace(
            self, a=self.a.pin_memory(), b=self.b.pin_memory(), lam=self.lam.pin_memory()
        )

    def dense(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return `[B, K]`: the share of every class, smoothed.

        Mixing two samples of one class gives that class both shares. Class numbers are smoothed to
        `(1 - epsilon) * q + epsilon / K`, soft labels likewise; multi-hot labels have no other
        classes to share with and move towards 0.5, as in Keras.
        """
        if self.a.ndim == 1:
            self._check_numbers()
            if self.lam.device.type == "cpu" and self.lam.dtype == torch.float32:
                return self._dense_on_cpu(self._known_classes()).to(dtype)
        own, other = self.lam[:, None], 1 - self.lam[:, None]
        if self.a.ndim == 2:
            shares = own * self.a + other * self.b
        else:
            shares = self.lam.new_zeros(len(self), self._known_classes())
            shares.scatter_add_(1, self.a[:, None], own)
            shares.scatter_add_(1, self.b[:, None], other)
        if self.is_smoothed:
            level = 0.5 if self.multi_hot else 1 / shares.shape[1]
            shares.mul_(1 - self.epsilon).add_(self.epsilon * level)
        return shares.to(dtype)

    def _dense_on_cpu(self, classes: int) -> torch.Tensor:
        # The same bits by NumPy: torch would share so little work out to threads, which take longer
        # to wake than the work takes, and many times as long where all cores are busy.
        own, rows = self.lam.numpy(), np.arange(len(self))
        for part in (self.a, self.b):
            if len(self) and (most := int(part.numpy().max())) >= classes:
                raise InputError(
                    f"label {most} is not in [0, {classes}), as num_classes={classes} says: give "
                    "one above the largest"
                )
        shares = np.zeros((len(self), classes), np.float32)
        shares[rows, self.a.numpy()] = own
        shares[rows, self.b.numpy()] += 1 - own
        if self.is_smoothed:
            shares *= 1 - self.epsilon
            shares += self.epsilon * (0.5 if self.multi_hot else 1 / classes)
        return torch.from_numpy(shares)

    def labels(self) -> torch.Tensor:
        """Return int64 `[B]`: the class with the largest share of each row."""
        if self.multi_hot:
            raise InputError("multi-hot targets have no single class: compare with dense()")
        if self.a.ndim == 2:
            return self.dense().argmax(dim=1)
        return torch.where(self.lam >= 0.5, self.a, self.b)

    def _check_numbers(self) -> None:
        # On a device it is the device that says so: to look there would wait for it.
        if self.a.device.type == "cpu" and self.a.numel() and int(self.a.min()) < 0:
            raise InputError(
                f"label {int(self.a.min())} is not a class, and has no share of a row: leave such "
                "samples out, or number the classes from 0"
            )

    def _known_classes(self) -> int:
        if self.num_classes is None:
            raise InputError("num_classes=None leaves open how wide the rows are: give num_classes")
        if self.num_classes > MOST_CLASSES:
            raise InputError(
                f"num_classes={self.num_classes} is above {MOST_CLASSES:,}, the widest rows that "
                "are made: number the classes from 0, without gaps, or use targets='sparse'"
            )
        return self.num_classes


# What labels become; None without labels.
AnyTargets: TypeAlias = "torch.Tensor | Targets | FieldTargets | None"


def make_targets(
    labels: Any, plan: Plan, *, num_classes: int | None = None, form: Form = "auto",
    several: bool | None = None,
) -> AnyTargets:  # fmt: skip
    """Return the labels of a batch, mixed and smoothed as its plan says.

    `labels` are those of all rows of the plan, partners included: integers `[M]`, or a column of
    them; float shares `[M, K]`; or flags, booleans or integers `[M, K]`. Flags of exactly one class
    in every row are shares of that class, others stand for several classes at once; `several` says
    which, where it is known of the whole dataset. `form="sparse"` gives `Targets`, `"dense"`
    float32 `[B, K]`, `"auto"` int64 `[B]` where the policy can neither mix nor smooth and the rows
    of `dense` otherwise. None gives None. What is not a class, a float `[M]` or a number below 0,
    passes through a policy that does not soften. Labels on a device are checked there, which fails
    later than here; only flags are looked at, unless `several` is given, and waited for.
    """
    if form not in ("auto", "sparse", "dense"):
        raise InputError(f"form={form!r} is unknown: use 'auto', 'sparse' or 'dense'")
    if num_classes is not None and num_classes < 1:
        raise InputError(f"num_classes={num_classes!r} is not positive: give the number of classes")
    if labels is None:
        return None
    given = as_column(labels if isinstance(labels, torch.Tensor) else _tensor(labels))
    if given.ndim == 0 or len(given) != len(plan.ids):
        raise InputError(
            f"labels of shape {tuple(given.shape)} are not one for each of the {len(plan.ids)} "
            "rows of the plan: give those of all plan.ids"
        )
    plain = form == "auto" and not softens(plan.policy)
    if plain and given.ndim == 1 and given.is_floating_point():
        return given[: plan.count].clone()
    hard = form != "dense" and not softens(plan.policy)
    values = _checked(given, plan, num_classes, hard=hard)
    if plain and values.ndim == 1:
        return values[: plan.count].clone()
    if values.ndim == 2 and not given.is_floating_point():
        several = _are_several(values, plan, known=several)
    targets = _mix(values, plan, num_classes, several=bool(several))
    return targets if form == "sparse" else targets.dense()


def softens(policy: Policy) -> bool:
    """Return whether a policy can give a sample anything but one class: it mixes, or smooths."""
    smoothing = policy.find(LabelSmoothing)
    return any(map(policy.find, (Mixup, CutMix, OneOf))) or bool(smoothing and smoothing.epsilon)


def soft_cross_entropy(
    logits: torch.Tensor,
    targets: "torch.Tensor | Targets | MixedMask",
    *,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int = 255,
) -> torch.Tensor:
    """Return the cross-entropy of logits `[B, K]`, computed in float32: a number, or `[B]`.

    Of logits `[B, K, H, W]` and masks int64 `[B, H, W]`, or the `MixedMask` that Mixup makes of
    two, whose losses count by their shares: a number, the mean over pixels that are not
    `ignore_index` (of either mask), or their sum, or `[B, H, W]`, where those are 0.

    `targets` are int64 `[B]`, float `[B, K]`, or `Targets`, whose rows of `K` shares are not built.
    `label_smoothing` is for class numbers and for `Targets` that are not smoothed; a second
    smoothing is an `InputError`.
    """
    masks = mask_pair(targets)
    if masks is not None:
        return mask_cross_entropy(logits, masks, reduction, label_smoothing, ignore_index)
    assert not isinstance(targets, tuple)
    _check_call(logits, targets, reduction, label_smoothing)
    logits = logits.float()
    if isinstance(targets, torch.Tensor) and targets.ndim == 1:
        return F.cross_entropy(
            logits, targets, reduction=reduction, label_smoothing=label_smoothing
        )
    log_shares = F.log_softmax(logits, dim=1)
    if isinstance(targets, torch.Tensor):
        return _reduce(-(targets.float() * log_shares).sum(dim=1), reduction)
    if label_smoothing:
        targets = replace(targets, epsilon=label_smoothing)
    _refuse_multi_hot(targets)
    if targets.a.ndim == 2:
        return _reduce(-(targets.dense() * log_shares).sum(dim=1), reduction)
    targets._check_numbers()
    own, other = (log_shares.gather(1, part[:, None]).squeeze(1) for part in (targets.a, targets.b))
    loss = -(targets.lam * own + (1 - targets.lam) * other)
    if targets.is_smoothed:
        loss = (1 - targets.epsilon) * loss - targets.epsilon * log_shares.mean(dim=1)
    return _reduce(loss, reduction)


def target_entropy(
    targets: torch.Tensor | Targets, *, reduction: Reduction = "mean"
) -> torch.Tensor:
    """Return the entropy of targets in nats: the floor that `soft_cross_entropy` cannot go below.

    A number, or float32 `[B]` with `reduction="none"`. Class numbers have none.
    """
    _check_reduction(reduction)
    if isinstance(targets, torch.Tensor):
        if targets.ndim == 1:
            return _reduce(torch.zeros(len(targets), device=targets.device), reduction)
        return _reduce(torch.special.entr(targets.float()).sum(dim=1), reduction)
    _refuse_multi_hot(targets)
    if targets.a.ndim == 2:
        return _reduce(torch.special.entr(targets.dense()).sum(dim=1), reduction)
    same = targets.a == targets.b
    own = torch.where(same, 1.0, targets.lam)
    other = torch.where(same, 0.0, 1 - targets.lam)
    if not targets.is_smoothed:
        return _reduce(torch.special.entr(own) + torch.special.entr(other), reduction)
    classes = targets._known_classes()
    rest = torch.full_like(own, targets.epsilon / classes)
    entropies = [torch.special.entr(share * (1 - targets.epsilon) + rest) for share in (own, other)]
    # Where both are of one class, the second term stands for one of the other classes.
    others = (classes - 2) * torch.special.entr(rest)
    return _reduce(entropies[0] + entropies[1] + others, reduction)


def _tensor(labels: Any) -> torch.Tensor:
    array = np.array(labels)
    if array.dtype.kind not in "biuf":
        raise InputTypeError(
            f"labels of dtype {array.dtype} are not numbers: number the classes from 0"
        )
    return torch.from_numpy(array)


def _checked(
    given: torch.Tensor, plan: Plan, num_classes: int | None, *, hard: bool
) -> torch.Tensor:
    # Labels as int64 [M] or float32 [M, K]; what stays `hard` may be below 0.
    if given.ndim == 1 and not given.is_floating_point():
        return check_classes(
            given.to(torch.int64), plan.ids, num_classes, low=-(2**63) if hard else 0
        )
    if given.ndim != 2:
        raise InputTypeError(
            f"labels of dtype {given.dtype} and shape {tuple(given.shape)} cannot be mixed or "
            "smoothed: give integers [N], or shares or booleans [N, K]"
        )
    check_width(given, num_classes)
    values = given.to(torch.float32)
    smoothing = plan.policy.find(LabelSmoothing)
    if not given.is_floating_point():
        check_rows(~((values == 0) | (values == 1)).all(dim=1), values, plan.ids, "is not 0 or 1: "
                    "give shares as floats")  # fmt: skip
    elif smoothing and smoothing.epsilon:
        check_rows(~((values.sum(dim=1) - 1).abs() <= SLACK), values, plan.ids, "does not sum to "
                    "1, as label_smoothing needs: give shares of one whole, or booleans for "
                    "several classes at once")  # fmt: skip
    else:
        check_rows(~values.isfinite().all(dim=1), values, plan.ids, "is not finite: fix it")
        if not hard:
            outside = ((values - 0.5).abs() > 0.5 + SLACK).any(dim=1)
            check_rows(outside, values, plan.ids, "is not in [0, 1]: give shares of classes, or "
                        "booleans, or leave out what mixes")  # fmt: skip
    return values


def _are_several(flags: torch.Tensor, plan: Plan, *, known: bool | None) -> bool:
    if known is None:
        return not one_each(flags)
    if not known:
        check_rows(flags.sum(dim=1) != 1, flags, plan.ids, "has not one class set, and the labels "
                    "before it have one each, of which shares were made: give shares as floats, "
                    "or leave label_smoothing and targets='sparse' out")  # fmt: skip
    return known


def _mix(labels: torch.Tensor, plan: Plan, num_classes: int | None, *, several: bool) -> Targets:
    # A row that is not mixed names itself as partner: what has no share must not matter at all.
    own, mode = labels[: plan.count], plan.mixes.mode[: plan.count]
    if mode.any():
        partner = np.where(mode != NONE, plan.mixes.partner[: plan.count], np.arange(plan.count))
        if labels.device.type == "cpu":  # as `_dense_on_cpu`, without threads of torch
            other = torch.from_numpy(labels.numpy()[partner])
        else:
            other = labels[copied(partner, labels.device)]
    else:
        other = own.clone()
    smoothing = plan.policy.find(LabelSmoothing)
    wide = labels.ndim == 2
    return Targets(
        a=own.clone(),
        b=other,
        lam=copied(plan.mixes.lam[: plan.count].copy(), labels.device),
        epsilon=smoothing.epsilon if smoothing else 0.0,
        num_classes=labels.shape[1] if wide else num_classes,
        multi_hot=wide and several,
    )


def _check_call(
    logits: torch.Tensor,
    targets: torch.Tensor | Targets,
    reduction: Reduction,
    label_smoothing: float,
) -> None:
    _check_reduction(reduction)
    if logits.ndim != 2 or len(logits) != len(targets):
        raise InputError(
            f"logits of shape {tuple(logits.shape)} do not fit {len(targets)} targets: "
            "give [B, K], a row for each"
        )
    classes = logits.shape[1]
    wanted = targets.num_classes if isinstance(targets, Targets) else None
    if isinstance(targets, torch.Tensor) and targets.ndim == 2:
        wanted = targets.shape[1]
    if wanted is not None and wanted != classes:
        raise InputError(
            f"logits of shape {tuple(logits.shape)} have {classes} classes and the targets "
            f"{wanted}: give the model as many outputs, or fix num_classes"
        )
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing={label_smoothing!r} is not in [0, 1): use 0.1, or 0")
    if label_smoothing:
        _check_unsmoothed(targets, label_smoothing)


def _check_reduction(reduction: Reduction) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise InputError(f"reduction={reduction!r} is unknown: use 'mean', 'sum' or 'none'")


def _check_unsmoothed(targets: torch.Tensor | Targets, label_smoothing: float) -> None:
    if isinstance(targets, Targets) and targets.is_smoothed:
        raise InputError(
            f"label_smoothing={label_smoothing!r} would smooth targets again that are smoothed by "
            f"{targets.epsilon!r} already: remove it here, or label_smoothing from the policy"
        )
    if isinstance(targets, torch.Tensor) and targets.ndim == 2:
        raise InputError(
            f"label_smoothing={label_smoothing!r} cannot tell whether rows of shares are smoothed "
            "already: put label_smoothing into the policy, or give Targets (form='sparse')"
        )


def _refuse_multi_hot(targets: Targets) -> None:
    if targets.multi_hot:
        raise InputError(
            "multi-hot targets are not distribution over classes: use "
            "torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.dense())"
        )


def _reduce(loss: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()
