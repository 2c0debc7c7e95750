"""`python -m augfeed_service` is `augfeed serve`."""

import sys

from augfeed.cli import app

if __name__ == "__main__":
    app(["serve", *sys.argv[1:]])
