"""What the nodes of a cluster have, for who waits for actors."""

import threading
from typing import Any

import ray

from augfeed.ray.actors import Actors
from augfeed.ray.head import reachable

ASKED = 5.0  # seconds that the head has to answer
SHOWN = 8  # nodes that a message lists


def room_for(actors: Actors) -> tuple[bool, str]:
    """Return whether some node is large enough for an actor, and what the nodes have, in words."""
    nodes = _nodes()
    if nodes is None:
        return True, "the head of the cluster does not say what its nodes have"
    if not nodes:
        return False, "the cluster has no nodes"
    told = [_told(node, actors) for node in nodes]
    more = f", and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    fits = any(_holds(node, actors) for node in nodes)
    return fits, f"the nodes have {', '.join(told[:SHOWN])}{more}"


def _nodes() -> list[dict[str, Any]] | None:
    # Without its head Ray waits long, so that it is asked only if that is there, and in a thread.
    if not ray.is_initialized() or not reachable():
        return None
    found: list[list[dict[str, Any]]] = []

    def ask() -> None:
        found.append([node for node in ray.nodes() if node["Alive"]])

    thread = threading.Thread(target=ask, name="augfeed-nodes", daemon=True)
    thread.start()
    thread.join(ASKED)
    return found[0] if found else None


def _holds(node: dict[str, Any], actors: Actors) -> bool:
    has = node.get("Resources", {})
    return all(has.get(name, 0) >= amount for name, amount in actors.reserved.items())


def _told(node: dict[str, Any], actors: Actors) -> str:
    has = node.get("Resources", {})
    made = {name: float(has.get(name, 0)) for name in actors.reserved}
    labels = {name: node.get("Labels", {}).get(name) for name in actors.labels}
    return str({**made, **labels})
