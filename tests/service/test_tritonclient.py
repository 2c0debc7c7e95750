"""Triton's client: every method of it gets an answer, or an error that says what to do."""

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from augfeed.presets import PRESETS
from augfeed_service import kserve_models
from tests.service.servers import Running
from tests.service.test_kserve import POLICIES


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[Any]:
    made = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
    yield made
    made.close()


def tensors() -> list[Any]:
    made = triton.InferInput("IMAGES", [2, 4, 4, 3], "UINT8")
    return [made.set_data_from_numpy(np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3))]


# Every method of the client: what it is called with, and what comes; a text is what the error says.
CALLS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "is_server_live": ((), True),
    "is_server_ready": ((), True),
    "is_model_ready": (("hflip", "1"), True),
    "get_server_metadata": ((), kserve_models.server()),
    "get_model_metadata": (("hflip", "1"), dict),
    "get_model_config": (("hflip", "1"), dict),
    "get_model_repository_index": ((), kserve_models.index()),
    "load_model": (("hflip",), "'hflip' is not loaded"),
    "unload_model": (("hflip",), "'hflip' is not loaded"),
    "get_inference_statistics": (("hflip", "1"), dict),
    "update_trace_settings": (("hflip",), "nothing at"),
    "get_trace_settings": (("hflip",), "nothing at"),
    "update_log_settings": (({},), "nothing at"),
    "get_log_settings": ((), "nothing at"),
    "get_system_shared_memory_status": ((), []),
    "register_system_shared_memory": (("a", "/a", 10), "'a' cannot be registered"),
    "unregister_system_shared_memory": (("a",), None),
    "get_cuda_shared_memory_status": ((), []),
    "register_cuda_shared_memory": (("a", b"a", 0, 10), "'a' cannot be registered"),
    "unregister_cuda_shared_memory": (("a",), None),
    "infer": (("hflip", tensors()), triton.InferResult),
    "async_infer": (("hflip", tensors()), triton.InferAsyncRequest),
}
# These ask the service for nothing.
LOCAL = {"close", "generate_request_body", "parse_response_body", "plugin", "register_plugin",
         "unregister_plugin"}  # fmt: skip


def test_all_methods_of_the_client_are_called() -> None:
    methods = {name for name, _ in inspect.getmembers(triton.InferenceServerClient, callable)
               if not name.startswith("_")}  # fmt: skip
    assert methods == CALLS.keys() | LOCAL


@pytest.mark.parametrize("method", CALLS)
def test_the_client_gets_an_answer_or_a_good_error(client: Any, method: str) -> None:
    given, expected = CALLS[method]
    if isinstance(expected, str):
        with pytest.raises(InferenceServerException) as caught:
            getattr(client, method)(*given)
        assert expected in caught.value.message()
        assert caught.value.status() in ("400", "404")
        return
    found: Any = getattr(client, method)(*given)
    if isinstance(expected, type):
        if method == "async_infer":
            assert found.get_result().as_numpy("IMAGES").shape == (2, 4, 4, 3)
        assert isinstance(found, expected)
    else:
        assert found == expected


def test_the_other_forms_of_these_calls_are_answered(client: Any) -> None:
    assert client.is_model_ready("hflip") and not client.is_model_ready("hflip", "99")
    assert client.get_model_metadata("hflip") == client.get_model_metadata("hflip", "1")
    assert client.get_model_config("hflip") == client.get_model_config("hflip", "1")
    assert client.get_inference_statistics()["model_stats"]
    assert {one["name"] for one in client.get_model_repository_index()} == set(PRESETS)
    for kind in ("system", "cuda"):
        assert getattr(client, f"unregister_{kind}_shared_memory")() is None
        with pytest.raises(InferenceServerException, match="'a' is not registered"):
            getattr(client, f"get_{kind}_shared_memory_status")("a")
    for call in (client.get_model_metadata, client.get_model_config,
                 client.get_inference_statistics):  # fmt: skip
        with pytest.raises(InferenceServerException, match="'99' is not '1'"):
            call("hflip", "99")
        with pytest.raises(InferenceServerException, match="hflop"):
            call("hflop")
    for call in (client.get_trace_settings, client.update_trace_settings):
        with pytest.raises(InferenceServerException, match="GET /v2 lists"):
            call()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model_version": "99"}, "'99'"),
        ({"sequence_id": 7}, "'sequence_id'"),
        ({"parameters": {"sed": 3}}, "'sed'"),
        ({"request_compression_algorithm": "gzip"}, "uncompressed"),
        ({"outputs": [triton.InferRequestedOutput("IMAGES", class_count=2)]}, "classification"),
        ({"outputs": [triton.InferRequestedOutput("PIXELS")]}, "'PIXELS'"),
    ],
)
def test_the_client_is_answered_what_is_wrong(
    client: Any, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said):
        client.infer("hflip", tensors(), **given)


def test_the_client_gets_shared_memory_refused(client: Any) -> None:
    tensor = triton.InferInput("IMAGES", [2, 4, 4, 3], "UINT8")
    tensor.set_shared_memory("a", 96)
    with pytest.raises(InferenceServerException, match="shared memory is not read"):
        client.infer("hflip", [tensor])
    output = triton.InferRequestedOutput("IMAGES")
    output.set_shared_memory("a", 96)
    with pytest.raises(InferenceServerException, match="shared memory is not read"):
        client.infer("hflip", tensors(), outputs=[output])


@pytest.mark.parametrize("given", [{"response_compression_algorithm": "gzip"}, {"priority": 2},
                                   {"timeout": 10**6}, {"request_id": "a"}])  # fmt: skip
@pytest.mark.parametrize("policy", POLICIES)
def test_the_client_infers_without_being_given_a_type(
    client: Any, policy: str, given: dict[str, Any]
) -> None:
    said = {one["name"]: one["datatype"] for one in client.get_model_metadata(policy)["outputs"]}
    made = client.infer(policy, tensors(), **given)
    assert made.get_output("IMAGES")["datatype"] == said["IMAGES"]
    assert made.as_numpy("IMAGES").dtype == (np.uint8 if said["IMAGES"] == "UINT8" else np.float32)
