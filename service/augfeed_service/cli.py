"""The command `augfeed serve`."""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from augfeed.errors import AugfeedError, InputError
from augfeed.operation.describe import describe, shown
from augfeed_service.logs import LOG, logging_to
from augfeed_service.settings import Settings, unknown_variables

PATTERN = "*?[{"  # what makes a path one of several files
ENGINES = ("uvicorn", "ray")  # what runs the application
FAILED, REFUSED = 1, 2  # exit codes, as those of `augfeed.cli`


def serve(
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Dataset; may be repeated.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 8000 by default, 0: a free one.")] = None,
    keys: Annotated[Path | None, typer.Option(help="File of keys.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let everyone in, on any address.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="'cpu' or 'cuda'.")] = None,
    engine: Annotated[
        str, typer.Option(help="'uvicorn': this process; 'ray': Ray Serve, on its cluster.")
    ] = "uvicorn",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting of augfeed_service.Settings, or a dataset's: coco.masks=true.",
        ),
    ] = None,
) -> None:
    """Serve batches of datasets, and augment images, over HTTP.

    Every setting is also an environment variable, AUGFEED_ and its name in capitals.
    """
    with _said():
        given = _settings(setting or [])
        if dataset:
            given["datasets"] = dict(_pairs("dataset", dataset))
        for name, value in (("host", host), ("port", port), ("keys", keys), ("device", device)):
            if value is not None:
                given[name] = value
        if insecure:
            given["insecure"] = True
        run(settings_of(given), engine)


@contextmanager
def _said() -> Iterator[None]:
    # What ends the service is a line of its log, as all else, unless a terminal shows it.
    with logging_to(sys.stderr) as terminal:
        try:
            yield
        except AugfeedError as error:
            if terminal:
                raise
            LOG.error("%s", error)
            raise typer.Exit(REFUSED) from None
        except Exception as error:
            if terminal or isinstance(error, typer.Exit | typer.Abort):
                raise
            LOG.critical("the service has an error, and ends", exc_info=True)
            raise typer.Exit(FAILED) from None


def _settings(texts: list[str]) -> dict[str, Any]:
    # A name with a dot is one of a dataset, which may have dots, and of its option.
    made, options = dict[str, Any](), dict[str, dict[str, Any]]()
    for name, value in _pairs("set", texts):
        dataset, dot, option = name.rpartition(".")
        if not dot:
            made[name] = value
            continue
        try:
            options.setdefault(dataset, {})[option] = json.loads(value)
        except ValueError:  # a word
            options[dataset][option] = value
    return {**made, **({"dataset_options": options} if options else {})}


def _pairs(option: str, texts: list[str]) -> list[tuple[str, str]]:
    pairs = [_pair(option, text) for text in texts]
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise InputError(f"--{option} {name!r} is given {count} times: give it once")
    return pairs


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    form = "NAME=PATH" if option == "dataset" else "NAME=VALUE"
    if not equals or not name or not value:
        raise InputError(f"--{option} {text!r} is not {form}: write it so")
    return name, value


def settings_of(given: dict[str, Any]) -> Settings:
    """Return settings: those given, and the environment's; raise `InputError` for a wrong one."""
    if unknown := sorted(set(given) - set(Settings.model_fields)):
        raise InputError(f"settings {unknown} are unknown: use some of {[*Settings.model_fields]}")
    from pydantic_settings import SettingsError

    for name in ("kornia", "allowed_hosts"):
        if isinstance(given.get(name), str):
            given[name] = tuple(filter(None, given[name].split(",")))
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InputError(describe(error, Settings)) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        variable = f"AUGFEED_{field[1].upper()}" if field else "a variable AUGFEED_..."
        given_text = shown(os.environ.get(variable, "?"))
        example = """AUGFEED_DATASETS='{"flowers": "/photos"}' and AUGFEED_KORNIA='["RandomFog"]'"""
        raise InputError(f"{variable}={given_text} is not JSON: write it as in {example}") from None


def run(settings: Settings, engine: str = "uvicorn") -> None:
    """Serve until a signal ends it; raise `InputError` for what keeps it from starting."""
    if engine not in ENGINES:
        raise InputError(f"--engine {engine!r} is unknown: use one of {[*ENGINES]}")
    settings.check_address()
    for text in unknown_variables(os.environ):
        LOG.warning("%s", text)
    for name, path in settings.datasets.items():
        there = os.path.exists(os.path.expanduser(path))
        if not there and not set(PATTERN) & set(str(path)):
            raise InputError(
                f"dataset {name}: {str(path)!r} does not exist: give a folder or a file"
            )
    if engine == "ray":
        from augfeed_service.ray import serve_on_ray

        serve_on_ray(settings)
        return
    # What is wrong with settings is said before the server is imported, which takes seconds.
    from augfeed_service.server import serve_until_ended

    serve_until_ended(settings)
