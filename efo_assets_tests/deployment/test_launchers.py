"""Runs in containers: what the launchers' files say, and the Kubernetes job made of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from efo_assets import Ontology, ontology_graph
from efo_assets_tests.commands import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
VALUES = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text())
NO_CLUSTER = """
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
"""
LARGE = {"container_config": {"resources": {"limits": {"memory": "8Gi"}}}}


def docker_launcher() -> Any:
    text = (ROOT / "deploy" / "launchers" / "docker.yaml").read_text()
    return yaml.safe_load(text)["run_launcher"]["config"]


def test_a_run_in_a_container_sees_what_the_services_see() -> None:
    assert docker_launcher()["env_vars"] == list(COMPOSE["x-environment"])


def test_a_run_in_a_container_may_as_little_as_a_service() -> None:
    may = docker_launcher()["container_kwargs"]
    service = {**COMPOSE["x-hardened"], **COMPOSE["x-ours"]}
    for name in ("read_only", "cap_drop", "security_opt"):
        assert may[name] == service[name]
    assert list(may["tmpfs"]) == service["tmpfs"]
    logging = service["logging"]
    assert may["log_config"] == {"type": logging["driver"], "config": logging["options"]}
    assert not any(".sock" in volume for volume in may["volumes"])


def test_dagster_takes_the_docker_launchers_configuration() -> None:
    dagster_docker = pytest.importorskip(
        "dagster_docker", reason="the extra docker isn't installed"
    )
    assert_taken(dagster_docker.DockerRunLauncher, docker_launcher())


def assert_taken(launcher: Any, config: Mapping[str, Any]) -> None:
    schema = dg.Field(launcher.config_type())
    from dagster._config import process_config  # noqa: PLC0415  # no public API validates one

    result = process_config(schema.config_type, dict(config))
    assert result.success, result.errors


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_job_in_kubernetes_is_as_values_and_tags_of_the_run_say(tmp_path: Path) -> None:
    pytest.importorskip("dagster_k8s", reason="the extra k8s isn't installed")
    from dagster_k8s import K8sRunLauncher  # noqa: PLC0415  # where it is installed
    from dagster_k8s.container_context import K8sContainerContext  # noqa: PLC0415
    from dagster_k8s.job import construct_dagster_k8s_job  # noqa: PLC0415

    given = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    config = {snake(name): value for name, value in given.items()}
    config["run_k8s_config"] = {snake(k): v for k, v in given["runK8sConfig"].items()}
    config |= {"service_account_name": "dagster", "instance_config_map": "dagster-instance"}
    config["dagster_home"] = "/opt/dagster/dagster_home"
    assert_taken(K8sRunLauncher, config)

    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    graph = ontology_graph(Ontology(id="mondo", run_tags={"dagster-k8s/config": LARGE}))
    job = graph.resolve_job_def("refresh_mondo")
    assert json.loads(job.run_tags["dagster-k8s/config"]) == LARGE
    (tmp_path / "nowhere").write_text(NO_CLUSTER)
    elsewhere = {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "nowhere")}
    launcher = K8sRunLauncher(**config, **elsewhere)
    run = dg.DagsterRun(job_name=job.name, run_id="1" * 8, tags=job.run_tags)
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=True)
    image = ":".join(deployment["image"][part] for part in ("repository", "tag"))
    made = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(job_image=image, run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        user_defined_k8s_config=context.run_k8s_config,
        component="run_worker",
    ).to_dict()
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == image
    assert container["resources"]["limits"] == {"memory": "8Gi"}
    assert container["security_context"]["read_only_root_filesystem"]
    assert container["security_context"]["capabilities"]["drop"] == ["ALL"]
    assert pod["security_context"]["run_as_user"] == 10001
    assert pod["restart_policy"] == "Never"
    assert made["spec"]["backoff_limit"] == 0
    assert made["spec"]["ttl_seconds_after_finished"] == 86400
    assert {each["mount_path"] for each in container["volume_mounts"]} >= {"/tmp"}  # noqa: S108
