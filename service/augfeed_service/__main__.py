"""`python -m augfeed_service` is `augfeed serve`."""

import typer

from augfeed_service.cli import serve

if __name__ == "__main__":
    typer.run(serve)
