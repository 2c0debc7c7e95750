"""What keeps a label true for a dataset, as rules that a policy is held against."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from augfeed.errors import PolicyError

Share = Annotated[float, Field(ge=0, le=1)]


class Invariances(BaseModel):
    """Rules of one dataset: what may be done to an image without making its label wrong.

    Every rule is permissive by default; a dataset states only what matters to it.
    `reason` is reported to anyone who breaks a rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(max_length=200, description="what the rules are about")] = (
        "this dataset"
    )
    reason: Annotated[str, Field(max_length=1000, description="why the rules exist")] = ""
    horizontal_flip: Annotated[bool, Field(description="a mirrored image keeps its label")] = True
    vertical_flip: Annotated[bool, Field(description="an image upside down keeps its label")] = True
    max_rotation: Annotated[
        float, Field(ge=0, le=180, description="largest angle of rotate, degrees")
    ] = 180.0
    max_shear: Annotated[
        float, Field(ge=0, le=90, description="largest angle of shear, degrees")
    ] = 90.0
    max_translation: Annotated[
        Share, Field(description="largest shift of translate, as a share of the side")
    ] = 1.0
    max_zoom: Annotated[
        float, Field(ge=1, description="largest factor of scale, and of its inverse")
    ] = 20.0
    max_distortion: Annotated[Share, Field(description="largest distortion of perspective")] = 1.0
    min_crop: Annotated[
        Share, Field(description="smallest share of the area that a crop may keep")
    ] = 0.0
    max_hue: Annotated[
        float, Field(ge=0, le=0.5, description="largest turn of the hue, in turns")
    ] = 0.5
    grayscale: Annotated[bool, Field(description="an image without color keeps its label")] = True
    invert: Annotated[bool, Field(description="a negative keeps its label (invert, solarize)")] = (
        True
    )
    max_occlusion: Annotated[
        Share, Field(description="largest share of the area that cutout or erasing may hide")
    ] = 1.0
    min_content: Annotated[
        Share, Field(description="smallest share of what it shows that an operation may leave")
    ] = 0.0
    mixing: Annotated[bool, Field(description="a blend of two labels is a label")] = True


RULES: tuple[str, ...] = tuple(
    name for name in Invariances.model_fields if name not in ("name", "reason")
)

LEAST = 0.05  # of what an image shows: less of it says no class
_DIGITS = "6 turned is 9, a mirrored 2 or 5 is not a digit, a cut 8 is a 3"
_CLOTHES = "clothes are shown upright and whole, in shades of gray that tell little"
KNOWN: dict[str, Invariances] = {
    known.name: known
    for known in (
        Invariances(
            name="digits",
            reason=_DIGITS,
            horizontal_flip=False,
            vertical_flip=False,
            max_rotation=20,
            max_shear=20,
            max_translation=0.2,
            max_zoom=1.3,
            max_distortion=0.3,
            min_crop=0.6,
            max_occlusion=0.2,
            min_content=LEAST,
        ),
        Invariances(
            name="fashion",
            reason=_CLOTHES,
            vertical_flip=False,
            max_rotation=30,
            max_shear=20,
            max_zoom=1.5,
            max_distortion=0.4,
            min_crop=0.4,
            min_content=LEAST,
        ),
        Invariances(
            name="cifar",
            reason="objects are seen upright, and fill the image",
            vertical_flip=False,
            max_rotation=45,
            min_crop=0.2,
            min_content=LEAST,
        ),
        Invariances(
            name="imagenet",
            reason="objects are seen upright, and color says some classes apart",
            vertical_flip=False,
            max_rotation=45,
            max_hue=0.2,
            min_content=LEAST,
        ),
    )
}
# What holds for any image, if nothing else is known.
ANY = Invariances(name="any dataset", reason="an image of which nothing is left has no label")
KNOWN["mnist"] = KNOWN["digits"].model_copy(update={"name": "mnist"})
KNOWN["photos"] = Invariances(name="photos", vertical_flip=False, max_rotation=45,
                              min_content=LEAST, reason=(
    "photographs are taken upright"
))  # fmt: skip


def invariances_of(what: "str | Invariances") -> Invariances:
    """Return known invariances by name, or the given ones; an unknown name is an error."""
    if isinstance(what, Invariances):
        return what
    try:
        return KNOWN[what]
    except KeyError:
        known = ", ".join(sorted(KNOWN))
        raise PolicyError(
            f"invariances={what!r} is unknown: use one of {known}, or an Invariances(...)"
        ) from None
