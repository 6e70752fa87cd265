"""The Jobs that the documentation offers: a cluster takes them, also one that enforces the restricted profile."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from millgate_serving.batch import command

ROOT = Path(__file__).parents[2]
JOBS = sorted((ROOT / "examples/jobs").glob("*.yaml"))


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.name)
def test_it_is_valid_and_restricted(file):
    job = yaml.safe_load(file.read_text())
    kubernetes_validate.validate(job, "1.34", strict=True)
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)


def test_the_batch_is_one_that_the_command_understands():
    (container,) = yaml.safe_load((ROOT / "examples/jobs/score.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]
    name, *words = container["args"]
    assert name == "score"
    arguments = command.parser().parse_args(words)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(path.parent) for path in (arguments.input, arguments.output)} <= mounts
    assert {"/models", "/tmp"} <= mounts


def test_every_option_of_the_command_is_documented():
    page = (ROOT / "docs/serving-batch.md").read_text()
    options = [each.option_strings[-1] for each in command.parser()._actions if each.option_strings[-1] != "--help"]
    assert len(options) > 6
    assert [option for option in options if f"`{option}" not in page] == []
