"""`python -m augfeed` is `augfeed`."""

from augfeed.cli import main

if __name__ == "__main__":
    main()
