"""The chart's values, their schema and the operator's configuration know the same keys."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from millgate.controller.config import Config, ModelCacheConfig, PrometheusConfig, RegistryConfig

CHART = Path(__file__).resolve().parents[2] / "charts/millgate"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
CONFIG = SCHEMA["properties"]["config"]["properties"]
# What the chart itself says to the operator, or what only tests change.
OURS = {"watchNamespaces", "lease", "listenAddress", "listenPort"}


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from objects(part, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[]")


def keys(schema: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[tuple[str, set[str], set[str]]]:
    """(path, what the schema allows, what values.yaml shows) of every object with known keys."""
    yield path, set(schema["properties"]) - {"global"}, set(values)
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from keys(part, values[name], f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize(("path", "allowed", "shown"), list(keys(SCHEMA, VALUES)), ids=lambda value: str(value)[:20])
def test_values_yaml_shows_every_key_that_the_schema_allows(path: str, allowed: set[str], shown: set[str]) -> None:
    assert allowed == shown, path


def test_the_schema_describes_every_key_and_refuses_others() -> None:
    named = [(path, part) for path, part in objects(SCHEMA) if not path.endswith("[]")]
    assert [path for path, part in named if not part.get("description")] == []
    assert [path for path, part in objects(SCHEMA) if part.get("properties") and part["additionalProperties"]] == []


def test_the_chart_offers_every_setting_of_the_operator() -> None:
    assert set(CONFIG) | OURS == {field.alias for field in Config.model_fields.values()}
    assert set(CONFIG["prometheus"]["properties"]) == aliases(PrometheusConfig)
    assert set(CONFIG["modelCache"]["properties"]) == aliases(ModelCacheConfig)
    assert set(CONFIG["registries"]["items"]["properties"]) == aliases(RegistryConfig)


def aliases(model: Any) -> set[str]:
    return {field.alias for field in model.model_fields.values()}


def test_defaults_of_the_chart_are_those_of_the_operator() -> None:
    operator = Config().model_dump(mode="json", by_alias=True)
    for name, value in VALUES["config"].items():
        if name not in {"prometheus", "defaultServingImage", "modelCache"}:
            assert value == operator[name], name
    prometheus = PrometheusConfig(url="http://x").model_dump(mode="json", by_alias=True)
    assert VALUES["config"]["prometheus"] == prometheus | {"url": ""}
    cache = ModelCacheConfig(claim_name="x").model_dump(mode="json", by_alias=True)
    assert VALUES["config"]["modelCache"] == cache | {"claimName": ""}


def test_the_chart_and_the_operator_have_one_version() -> None:
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, flags=re.MULTILINE)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert version
    assert chart["appVersion"] == chart["version"] == version[1]


def test_what_the_chart_tells_the_hub_can_be_read() -> None:
    notes = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    (crd,) = yaml.safe_load(notes["artifacthub.io/crds"])
    (example,) = yaml.safe_load(notes["artifacthub.io/crdsExamples"])
    assert crd["kind"] == example["kind"] == "ModelDeployment"
    assert example == yaml.safe_load((CHART.parents[1] / "examples/smallest.yaml").read_text())
