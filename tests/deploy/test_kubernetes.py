"""Manifests for Kubernetes and KubeRay: valid by their schemas, and true to the service."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from augfeed_service.metrics import Metrics
from augfeed_service.server import UNWIND
from augfeed_service.settings import Settings
from tests.deploy.test_deploy import DEPLOY

FOLDER = Path(__file__).parent
# Those of Kubernetes 1.37, strict, without their descriptions, of the kinds that are used.
KUBERNETES = json.loads((FOLDER / "kubernetes.json").read_text())
KUBERAY = json.loads((FOLDER / "kuberay.json").read_text())
KINDS = {
    "Deployment": "apps.v1", "Service": "core.v1", "ConfigMap": "core.v1",
    "HorizontalPodAutoscaler": "autoscaling.v2", "PodDisruptionBudget": "policy.v1",
}  # fmt: skip
RAY = {"RayCluster": "cluster.yml", "RayJob": "job.yml", "RayService": "service.yml"}
MIB, GIB = 1 << 20, 1 << 30


def plain() -> dict[str, Any]:
    """The objects for Kubernetes, by kind."""
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yml").read_text())
    return {one["kind"]: one for one in found}


def of_ray(kind: str) -> Any:
    return yaml.safe_load((DEPLOY / "kuberay" / RAY[kind]).read_text())


def clusters() -> dict[str, Any]:
    """The clusters of all kinds, by kind."""
    return {"RayCluster": of_ray("RayCluster")["spec"],
            "RayJob": of_ray("RayJob")["spec"]["rayClusterSpec"],
            "RayService": of_ray("RayService")["spec"]["rayClusterConfig"]}  # fmt: skip


def check(value: Any, definition: str, schema: Any = KUBERNETES) -> None:
    whole = {**schema, "$ref": f"#/definitions/{definition}"}
    jsonschema.Draft7Validator(whole).validate(value)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_follow_the_schemas_of_kubernetes(kind: str) -> None:
    made = plain()[kind]
    group, version = KINDS[kind].split(".")
    assert made["apiVersion"] == (version if group == "core" else f"{group}/{version}")
    check(made, f"io.k8s.api.{KINDS[kind]}.{kind}")
    with pytest.raises(jsonschema.ValidationError):
        check({**made, "spek": {}}, f"io.k8s.api.{KINDS[kind]}.{kind}")


@pytest.mark.parametrize("kind", RAY)
def test_objects_follow_the_fields_of_kuberay_and_their_pods_kubernetes(kind: str) -> None:
    made, cluster = of_ray(kind), clusters()[kind]
    assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", kind)
    check(made["spec"], kind, KUBERAY)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        check(group["template"], "io.k8s.api.core.v1.PodTemplateSpec")
    wrong = deepcopy(made["spec"])
    wrong["rayClusterSpek"] = {}
    with pytest.raises(jsonschema.ValidationError):
        check(wrong, kind, KUBERAY)


def test_variables_are_settings_and_a_pod_has_the_time_to_drain() -> None:
    given = plain()["ConfigMap"]["data"]
    names = {name.removeprefix("AUGFEED_").lower() for name in given}
    assert names <= set(Settings.model_fields)
    times = Settings(drain=float(given["AUGFEED_DRAIN"]), grace=float(given["AUGFEED_GRACE"]))
    pod = plain()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    slept = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > slept + times.drain + times.grace + UNWIND
    # A balancer sees that a pod is not ready before it closes its socket.
    assert container["readinessProbe"]["periodSeconds"] < times.drain
    assert int(given["AUGFEED_THREADS"]) == int(container["resources"]["requests"]["cpu"])


def test_the_limit_of_memory_holds_what_the_settings_allow() -> None:
    pod = plain()["Deployment"]["spec"]["template"]["spec"]
    in_memory = sum(int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) * MIB
                    for volume in pod["volumes"] if "emptyDir" in volume)  # fmt: skip
    parts = sum(Settings().parts.values()) + in_memory + GIB // 2
    limit = int(pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("Gi")) * GIB
    assert parts < limit


def test_probes_ask_for_routes_and_the_autoscaler_for_a_metric_of_the_service() -> None:
    (container,) = plain()["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = {container[probe]["httpGet"]["path"]
             for probe in ("startupProbe", "readinessProbe", "livenessProbe")}  # fmt: skip
    routes = (DEPLOY.parent / "augfeed_service" / "routes_info.py").read_text()
    assert all(f'"{path}"' in routes for path in paths)
    (metric,) = plain()["HorizontalPodAutoscaler"]["spec"]["metrics"]
    known = {found.name for found in Metrics().registry.collect()}
    assert metric["pods"]["metric"]["name"] in known


def test_selectors_meet_the_pods() -> None:
    made = plain()
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [made["Service"]["spec"]["selector"],
                 made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                 made["Deployment"]["spec"]["selector"]["matchLabels"]]  # fmt: skip
    assert all(selector.items() <= labels.items() for selector in selectors)
    target = made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (
        "Deployment",
        made["Deployment"]["metadata"]["name"],
    )


def test_clusters_have_nodes_of_cpus_and_none_works_on_the_head() -> None:
    for kind, cluster in clusters().items():
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
        assert set(groups) == ({"cpu"} if kind == "RayService" else {"cpu", "gpu"})
        for group in groups.values():
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_application_of_serve_is_that_of_the_service() -> None:
    config = yaml.safe_load(of_ray("RayService")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    module, name = application["import_path"].split(":")
    text = (DEPLOY.parent / f"{module.replace('.', '/')}.py").read_text()
    assert f"def {name}(" in text
    assert set(application["args"]) <= set(Settings.model_fields)
    (deployment,) = application["deployments"]
    assert f'APPLICATION = "{deployment["name"]}"' in text
    assert deployment["ray_actor_options"]["num_cpus"] == application["args"]["threads"]
    serve = pytest.importorskip("ray.serve.schema", reason="needs Ray Serve: make ray")
    serve.ServeDeploySchema.model_validate(config)
