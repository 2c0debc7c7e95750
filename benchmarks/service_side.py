"""One checkout in `bench_service --against`: its server, and its client, which does what it reads.

Run as a script with the source roots of that checkout on the path; it imports nothing else of ours.
"""

import json
import subprocess
import sys
import threading
from typing import Any


def main() -> int:
    """Say "ready", then do each line of the input, and say "done" or what was wrong."""
    given = json.loads(sys.argv[1])
    command = [sys.executable, "-P", "-W", "ignore", "-c", given["server"], *given["arguments"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            ways = _ways(f"http://127.0.0.1:{int(server.stdout.readline())}", given)
            print("ready", flush=True)
            for line in sys.stdin:
                try:
                    ways[line.strip()]()
                    print("done", flush=True)
                except Exception as error:
                    print(repr(error).replace("\n", " "), flush=True)
        finally:
            server.terminate()
    return 0


def _ways(url: str, given: dict[str, Any]) -> dict[str, Any]:
    import torch

    from augfeed import DataLoader, parse_policy
    from augfeed.wire import Description
    from augfeed_client import Client, Connection, RemoteLoader

    plan = Description(
        dataset="large", policy=parse_policy("hflip"), batch_size=given["batch"], dtype="float16"
    )
    clients = [Client(url) for _ in range(4)]
    threads = given["threads"]
    shared: dict[str, Any] = {**given["loader"], "dtype": torch.uint8}
    connection = Connection(workers=threads, ahead=2 * threads)
    far = RemoteLoader(url, dataset="small", connection=connection, **shared)
    near: Any = DataLoader(given["arguments"][0], num_workers=threads, **shared)

    def one(client: Client = clients[0]) -> None:
        client.batch(plan, 0, 0)

    def four() -> None:
        begun = [threading.Thread(target=one, args=(client,)) for client in clients]
        for thread in begun:
            thread.start()
        for thread in begun:
            thread.join()

    def read(loader: Any) -> None:
        for _ in loader:
            pass

    return {
        "one": one, "four": four, "far": lambda: read(far), "near": lambda: read(near),
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
