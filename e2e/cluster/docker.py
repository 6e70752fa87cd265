"""Whether there is a Docker engine here."""

import shutil

from e2e.cluster.processes import Runner


def docker_answers(runner: Runner) -> bool:
    """A docker program alone says nothing: its engine has to answer."""
    if not shutil.which("docker"):
        return False
    asked = runner.run(["docker", "info", "--format", "{{json .ServerVersion}}"], check=False)
    return asked.code == 0 and asked.out.strip() not in {"", '""', "null"}
