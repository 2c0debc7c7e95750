"""`python -m augfeed_service` is `augfeed serve`."""

import sys

from augfeed.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["serve"]
    main()
