"""The reference page says all that the schema knows."""

import re

from millgate.api.crd import crd
from millgate.api.reference import reference
from millgate.api.schema import nodes

DEFINITION = crd()
PAGE = reference(DEFINITION)
SCHEMA = DEFINITION["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
PARTS = [SCHEMA["properties"]["spec"], SCHEMA["properties"]["status"]]


def test_every_field_and_every_rule_is_on_the_page() -> None:
    fields = {name for part in PARTS for _, node in nodes(part) for name in node.get("properties", {})}
    assert {name for name in fields if f"| `{name}`" not in PAGE} == set()
    rules = [rule["message"] for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", ())]
    assert [rule for rule in rules if rule.replace("|", "\\|") not in PAGE] == []


def test_tables_have_as_many_cells_in_each_row_as_in_their_head() -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE, flags=re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1, table


def test_required_fields_defaults_and_bounds_are_told() -> None:
    assert "| `name` * | text up to 128, matching" in PAGE
    assert "| `intervalSeconds` | integer, 1 to 3600 | `15` |" in PAGE
    assert "| `paused` | boolean | `false` |" in PAGE
    assert "| `onInconclusive` | `Hold` or `Proceed` or `Rollback` | `Hold` |" in PAGE
    assert "list of object (1 to 32, told apart by `name`)" in PAGE


def test_an_object_that_occurs_twice_is_described_once() -> None:
    assert PAGE.count("## `spec.rollout.steps[].gates[]`\n") == 1
    assert PAGE.count("## `spec.rollout.gates[]`\n") == 1, "a guardrail has no job"
    assert "## `spec.rollout.gates[].compare`\n" not in PAGE
