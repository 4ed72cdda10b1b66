"""
The files in cluster/kubernetes fit the Flink Kubernetes Operator, the image and the jobs.

The schema below is ours: the fields in use, with types and values from the reference of the operator's custom resources
(1.15). It is stricter than the operator, because it refuses all other fields. The operator itself is not run.
"""

from __future__ import annotations

import itertools
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from pyflink_prometheus import PrometheusSink

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cluster" / "kubernetes"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "cluster" / "Dockerfile").read_text(encoding="utf-8")

TEXT, NUMBER, TRUTH = {"type": "string"}, {"type": "number"}, {"type": "boolean"}


def fields(*required: str, **of: Any) -> dict[str, Any]:
    """Return the schema of a mapping that has these fields and no others."""
    return {"type": "object", "properties": of, "required": list(required), "additionalProperties": False}


def list_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


JOB = fields(
    "jarURI",
    "parallelism",
    "upgradeMode",
    jarURI={"type": "string", "pattern": "^(local|https)://"},
    entryClass=TEXT,
    args=list_of(TEXT),
    parallelism={"type": "integer", "minimum": 1},
    upgradeMode={"enum": ["stateless", "savepoint", "last-state"]},
    state={"enum": ["running", "suspended"]},
)
POD_TEMPLATE = fields(
    "spec",
    spec=fields(
        "containers",
        securityContext=fields(fsGroup={"type": "integer"}),
        containers=list_of(
            fields(
                "name",
                name={"const": "flink-main-container"},
                ports=list_of(fields("containerPort", name=TEXT, containerPort={"type": "integer"})),
                volumeMounts=list_of(fields("name", "mountPath", name=TEXT, mountPath=TEXT, readOnly=TRUTH)),
            )
        ),
        volumes=list_of(
            fields(
                "name",
                name=TEXT,
                configMap=fields("name", name=TEXT),
                secret=fields("secretName", secretName=TEXT, defaultMode={"type": "integer", "maximum": 0o777}),
                persistentVolumeClaim=fields("claimName", claimName=TEXT),
            )
        ),
    ),
)
MANAGER = fields("resource", resource=fields("memory", "cpu", memory=TEXT, cpu=NUMBER))
METADATA = fields("name", name={"type": "string", "pattern": "^[a-z][a-z0-9-]{0,44}$"})
SCHEMAS = {
    "FlinkDeployment": fields(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion={"const": "flink.apache.org/v1beta1"},
        kind=TEXT,
        metadata=METADATA,
        spec=fields(
            "image",
            "flinkVersion",
            "serviceAccount",
            "jobManager",
            "taskManager",
            image=TEXT,
            flinkVersion={"enum": ["v1_20", "v2_0", "v2_1"]},
            serviceAccount=TEXT,
            flinkConfiguration={"type": "object", "additionalProperties": TEXT},
            podTemplate=POD_TEMPLATE,
            jobManager=MANAGER,
            taskManager=MANAGER,
            job=JOB,
        ),
    ),
    "FlinkSessionJob": fields(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion={"const": "flink.apache.org/v1beta1"},
        kind=TEXT,
        metadata=METADATA,
        spec=fields("deploymentName", "job", deploymentName=TEXT, job=JOB),
    ),
    "ConfigMap": fields(
        "data",
        apiVersion={"const": "v1"},
        kind=TEXT,
        metadata=METADATA,
        data={"type": "object", "additionalProperties": TEXT},
    ),
}


def documents() -> list[dict[str, Any]]:
    yaml = YAML(typ="safe")
    return [each for file in sorted(FOLDER.glob("*.yaml")) for each in yaml.load_all(file.read_text(encoding="utf-8"))]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in documents() if each["kind"] == kind]


DEPLOYMENTS = of_kind("FlinkDeployment")
JOBS = [each for each in documents() if "job" in each.get("spec", {})]


def errors(document: dict[str, Any]) -> list[str]:
    found = Draft202012Validator(SCHEMAS[document["kind"]]).iter_errors(document)
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in found]


@pytest.mark.parametrize("document", documents(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_has_only_fields_and_values_that_the_operator_knows(document):
    assert errors(document) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.flinkVersion", "2.3"),
        ("spec.job.upgradeMode", "lastState"),
        ("spec.job.jarUri", "local:///x.jar"),
        ("spec.jobManager.resource.memory", 1600),
        ("spec.flinkConfiguration.taskmanager", 2),
        ("spec.secrets", []),
    ],
)
def test_the_schema_refuses_what_the_operator_refuses(path, value):
    document = deepcopy(next(each for each in DEPLOYMENTS if "job" in each["spec"]))
    *groups, last = path.split(".")
    inner = document
    for group in groups:
        inner = inner[group]
    inner[last] = value
    assert len(errors(document)) == 1


def test_there_is_a_deployment_for_each_mode():
    assert sorted("job" in each["spec"] for each in DEPLOYMENTS) == [False, True]
    (session,) = [each["metadata"]["name"] for each in DEPLOYMENTS if "job" not in each["spec"]]
    assert [each["spec"]["deploymentName"] for each in of_kind("FlinkSessionJob")] == [session]


def test_the_image_is_the_one_that_compose_builds():
    (flink,) = re.findall(r"^FLINK_VERSION \?= (\S+)$", MAKEFILE, re.MULTILINE)
    assert {each["spec"]["image"] for each in DEPLOYMENTS} == {f"pyflink-prometheus-flink:{flink}"}
    assert f"ARG FLINK_VERSION={flink}\n" in DOCKERFILE
    assert all(each["spec"]["job"]["jarURI"].endswith(f"/flink-python-{flink}.jar") for each in JOBS)
    # Flink on Kubernetes calls this by default (kubernetes.entry.path).
    assert "/docker-entrypoint.sh" in DOCKERFILE


def test_the_user_of_the_image_may_read_secrets_and_write_data():
    for deployment in DEPLOYMENTS:
        pod = deployment["spec"]["podTemplate"]["spec"]
        assert f"useradd --uid {pod['securityContext']['fsGroup']} " in DOCKERFILE
        (mode,) = [each["secret"]["defaultMode"] for each in pod["volumes"] if "secret" in each]
        assert mode == 0o440


def test_what_is_mounted_is_what_the_settings_name():
    (settings,) = of_kind("ConfigMap")
    named = re.findall(r"_file: (\S+)", settings["data"]["prometheus.yml"])
    assert len(named) == 4
    for deployment in DEPLOYMENTS:
        pod = deployment["spec"]["podTemplate"]["spec"]
        mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        assert sorted(mounts) == sorted(each["name"] for each in pod["volumes"])
        assert {each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each} == {
            settings["metadata"]["name"]
        }
        assert all(each.startswith(f"{mounts['secret']}/") for each in named)
        # A mount point within another volume would have to be created in it, but these are read-only.
        paths = sorted(f"{each}/" for each in mounts.values())
        assert not any(longer.startswith(shorter) for shorter, longer in itertools.pairwise(paths))
        for each in JOBS:
            arguments = each["spec"]["job"]["args"]
            assert arguments[arguments.index("--config") + 1] == f"{mounts['settings']}/prometheus.yml"


def test_the_settings_are_those_of_a_sink(tmp_path):
    (settings,) = of_kind("ConfigMap")
    file = tmp_path / "prometheus.yml"
    file.write_text(settings["data"]["prometheus.yml"])
    assert PrometheusSink.from_remote_write_config(file).build() is not None


@pytest.mark.parametrize("document", JOBS, ids=lambda each: each["kind"])
def test_the_job_is_in_the_image(document):
    arguments = document["spec"]["job"]["args"]
    job = Path(arguments[arguments.index("-py") + 1])
    assert "COPY jobs /opt/jobs\n" in DOCKERFILE
    assert (ROOT / "jobs" / job.relative_to("/opt/jobs")).exists()
    assert document["spec"]["job"]["entryClass"] == "org.apache.flink.client.python.PythonDriver"
