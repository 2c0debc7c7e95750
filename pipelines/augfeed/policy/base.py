"""Sizes and intervals of parameters, as `augfeed.operation.types` has them."""

from augfeed.operation.types import interval as interval
from augfeed.operation.types import pair as pair
