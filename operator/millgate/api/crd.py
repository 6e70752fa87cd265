"""The CustomResourceDefinition, and the files that are generated from it.

`python -m millgate.api.crd` writes them into the checkout it is called in; with `--check` it says which are stale.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from millgate.api.names import GROUP, KIND, NAME_MAX_LENGTH, PLURAL, VERSION
from millgate.api.reference import reference
from millgate.api.schema import Schema, structural_schema
from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import Status

CRD_NAME = f"{PLURAL}.{GROUP}"
_HEADER = "# Generated from millgate.api by `python -m millgate.api.crd`: edit the types there, not this file.\n"


def generated_files() -> Mapping[Path, str]:
    """What is generated, by its path in the checkout."""
    definition = crd()
    text = _HEADER + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)
    return {
        Path("crds") / f"{CRD_NAME}.yaml": text,
        Path("charts/millgate/files") / f"{CRD_NAME}.yaml": text,  # a chart can only read files of its own
        Path("docs/reference.md"): reference(definition),
    }


def crd() -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["mdep"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(),
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _schema() -> Schema:
    # Until the operator has seen an object, its status says so: kstatus takes an empty status for "all is well".
    status = structural_schema(Status) | {"default": {"observedGeneration": -1}}
    return {
        "description": "A machine-learning model that is served, and how a new version of it is released.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"'{GROUP}/{VERSION}'.", "type": "string"},
            "kind": {"description": f"'{KIND}'.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(ModelDeploymentSpec),
            "status": status,
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.size() <= {NAME_MAX_LENGTH}",
                "message": f"metadata.name must be no more than {NAME_MAX_LENGTH} characters: "
                "Millgate adds up to 23 for the names of Services and Jobs",
            },
            {
                "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "message": "metadata.name must begin with a letter, must end with a letter or a digit, and must hold "
                "only lower-case letters, digits and '-': a Service gets this name",
            },
        ],
    }


def _columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    columns = (
        ("Ready", "string", f"{ready}.status", "Whether the newest generation is released and serves."),
        ("Status", "string", f"{ready}.reason", "Where it stands, in one word."),
        ("Stable", "string", ".status.stable.modelVersion", "The model version that is released."),
        ("Candidate", "string", ".status.candidate.modelVersion", "The model version that is being released."),
        ("Weight", "integer", ".status.candidate.observedWeightPercent", "The candidate's share of the traffic."),
        ("Step", "string", ".status.rollout.stepDisplay", "The step in hand of all steps."),
        ("Age", "date", ".metadata.creationTimestamp", "How long the object has existed."),
    )
    message = ("Message", "string", f"{ready}.message", "Where it stands, in a sentence.")
    shown = [_column(*column) for column in columns]
    return [*shown, _column(*message) | {"priority": 1}]


def _column(name: str, type_: str, path: str, description: str) -> dict[str, Any]:
    return {"name": name, "type": type_, "jsonPath": path, "description": description}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m millgate.api.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 when a file is stale")
    checking = parser.parse_args(arguments).check
    if not Path("crds").is_dir():
        sys.stderr.write("there is no folder 'crds' here: call this in a checkout of Millgate\n")
        return 2
    stale = {
        path: text for path, text in generated_files().items() if not path.is_file() or path.read_text("utf-8") != text
    }
    for path, text in stale.items():
        sys.stdout.write(f"{path} {'is stale' if checking else 'written'}\n")
        if not checking:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return 1 if checking and stale else 0


if __name__ == "__main__":
    sys.exit(main())
