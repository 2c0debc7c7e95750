"""Validation errors in words, as `augfeed.operation.describe` puts them."""

from augfeed.operation.describe import describe as describe
from augfeed.operation.describe import parameters as parameters
from augfeed.operation.describe import shown as shown
from augfeed.operation.describe import suggest as suggest
