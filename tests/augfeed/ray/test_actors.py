"""How many actors there are, and what they ask of the cluster."""

from typing import Any

import pytest

from augfeed.errors import InputError, InputTypeError

pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")

from augfeed.ray.actors import Actors, wanted_actors


@pytest.mark.parametrize(
    ("running", "waited", "busy", "wanted"),
    [
        (2, 0.5, 0.95, 3), (4, 0.5, 0.95, 4), (2, 0.5, 0.3, 2), (3, 0.0, 0.2, 2), (3, 0.0, 0.9, 3),
        (1, 0.0, 0.0, 1), (2, 0.02, 0.0, 2),
    ],
    ids=["starved", "at most", "starved by something else", "idle", "as many as needed",
         "at least", "in between"],
)  # fmt: skip
def test_actors_are_added_where_they_are_what_is_short(
    running: int, waited: float, busy: float, wanted: int
) -> None:
    assert wanted_actors(running, waited, busy, Actors(least=1, most=4)) == wanted


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"least": 0}, "least=0"), ({"most": 0}, "most=0"), ({"least": 5}, "above most=4"),
        ({"retries": -1}, "retries=-1"), ({"window": 0}, "window=0"), ({"num_cpus": 0}, "num_cpus"),
        ({"num_cpus": "2"}, "num_cpus='2'"), ({"deadline": float("inf")}, "deadline=inf"),
        ({"device": "cuda"}, "num_gpus=1"), ({"memory": 0}, "memory=0"),
        ({"device": "gpu"}, "device='gpu'"), ({"num_gpus": 1.5}, "num_gpus=1.5.*use 2"),
        ({"resources": {"disk": "1"}}, "'disk': '1'"), ({"resources": {"disk": 0}}, "'disk': 0"),
        ({"labels": {"zone": 1}}, "'zone': 1"), ({"most": 0, "least": 0}, "least=0"),
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_named(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Actors(**given)


@pytest.mark.parametrize("name", ["resources", "labels", "runtime_env"])
def test_what_is_not_a_dict_is_named(name: str) -> None:
    given: Any = {name: ["a"]}
    with pytest.raises(InputTypeError, match=rf"{name}=\['a'\] is not a dict"):
        Actors(**given)


def test_options_are_those_of_ray() -> None:
    actors = Actors(num_cpus=2.5, memory=1 << 30, resources={"disk": 1}, labels={"zone": "a"},
                    runtime_env={"env_vars": {"A": "1"}})  # fmt: skip
    options = actors.options()
    assert actors.threads == 3 and options["num_cpus"] == 2.5 and options["memory"] == 1 << 30
    assert options["resources"] == {"disk": 1} and options["label_selector"] == {"zone": "a"}
    assert options["runtime_env"] == {"env_vars": {"A": "1"}} and options["max_restarts"] == 0
