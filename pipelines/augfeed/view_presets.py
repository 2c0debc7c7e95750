"""Sets of views with a name: those of self-supervised training, as published."""

from collections.abc import Callable
from typing import Any

from augfeed import self_supervised_recipes as recipes
from augfeed.published_recipes import Sides
from augfeed.self_supervised_recipes import Blur
from augfeed.views import View, Views


def _pair(name: str, first: Any, second: Any, size: Sides) -> Views:
    return Views({"": (first(size), second(size))}, name=name)


def _multi_crop(name: str, large: tuple[View, ...], small: Any, count: int) -> Views:
    views = {"global": large, "local": (small, count)} if count else {"global": large}
    return Views(views, name=name)


def simclr(size: Sides = 224, strength: float = 1.0) -> Views:
    """Return SimCLR's two views (2002.05709)."""
    return Views(View(recipes.simclr(size, strength), 2), name="simclr")


def moco_v3(size: Sides = 224) -> Views:
    """Return MoCo v3's two views (2104.02057), which are not alike."""
    return _pair("moco_v3", recipes.moco_v3_1, recipes.moco_v3_2, size)


def byol(size: Sides = 224) -> Views:
    """Return BYOL's two views (2006.07733), which are not alike."""
    return _pair("byol", recipes.byol_1, recipes.byol_2, size)


def vicreg(size: Sides = 224) -> Views:
    """Return VICReg's two views (2105.04906), which are not alike."""
    return _pair("vicreg", recipes.vicreg_1, recipes.vicreg_2, size)


def swav(size: Sides = 224, local_size: Sides = 96, locals: int = 6) -> Views:
    """Return SwAV's two large and six small views (2006.09882)."""
    large = (View(recipes.swav_global(size), 2),)
    return _multi_crop("swav", large, recipes.swav_local(local_size), locals)


def dino(size: Sides = 224, local_size: Sides = 96, locals: int = 8) -> Views:
    """Return DINO's two large and eight small views (2104.14294)."""
    large = View(recipes.dino_global_1(size)), View(recipes.dino_global_2(size))
    return _multi_crop("dino", large, recipes.dino_local(local_size), locals)


def dino_v2(
    size: Sides = 224, local_size: Sides = 96, locals: int = 8, blur: Blur = "trained"
) -> Views:
    """Return DINOv2's two large and eight small views (2304.07193).

    `blur="trained"` is what the published code does, which blurs with 1 - p: never, of 90 % and of
    50 % of the images; `blur="meant"` is what it says: always, of 10 % and of 50 %.
    """
    large = (View(recipes.dino_v2_global_1(size, blur)), View(recipes.dino_v2_global_2(size, blur)))
    return _multi_crop("dino_v2", large, recipes.dino_v2_local(local_size), locals)


VIEW_PRESETS: dict[str, Callable[..., Views]] = {
    make.__name__: make for make in (simclr, moco_v3, byol, vicreg, swav, dino, dino_v2)
}
