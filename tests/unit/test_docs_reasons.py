"""docs/operations.md explains every word that a person can meet: reasons, events, metrics. And no other."""

import re
from collections import Counter
from pathlib import Path

import pytest

from millgate.api.conditions import ConditionType, EventReason, Reason
from millgate.api.request import RequestAction
from millgate.api.status import Stage
from millgate.controller.telemetry import Telemetry
from millgate.kube.queue import WorkQueue

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `(\w+)` \|(.+)\|$", re.MULTILINE)
METRIC = re.compile(r"^# TYPE (millgate_\w+) ", re.MULTILINE)


def rows(page: str, heading: str) -> list[tuple[str, list[str]]]:
    """The rows of all tables below a heading of the second level: first cell, other cells."""
    text = (DOCS / page).read_text()
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith(f"{heading}\n")]
    return [(name, [cell.strip() for cell in rest.split("|")]) for name, rest in ROW.findall(found)]


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Reasons", set(Reason)), ("Events", set(EventReason)), ("The conditions", set(ConditionType))],
)
def test_what_the_code_can_say_is_explained_and_nothing_else(heading: str, words: set[str]) -> None:
    explained = {name for name, _ in rows("operations.md", heading)}
    assert explained == {str(word) for word in words}


@pytest.mark.parametrize("heading", ["Reasons", "Events"])
def test_each_word_is_explained_once(heading: str) -> None:
    counted = Counter(name for name, _ in rows("operations.md", heading))
    assert [name for name, times in counted.items() if times > 1] == []


@pytest.mark.parametrize("heading", ["Reasons", "Events"])
def test_each_explanation_says_what_it_means_and_what_to_do(heading: str) -> None:
    for name, cells in rows("operations.md", heading):
        meaning, action = cells
        assert len(meaning) > 10, name
        assert action, name


def test_conditions_stand_in_the_order_of_status() -> None:
    assert [name for name, _ in rows("operations.md", "The conditions")] == [str(type_) for type_ in ConditionType]


def test_every_request_and_every_stage_is_explained() -> None:
    text = (DOCS / "concepts.md").read_text()
    assert {name for name, _ in rows("concepts.md", "What a person can do")} == {str(a) for a in RequestAction}
    assert all(f"| {stage.value} |" in text for stage in Stage)


def test_every_metric_of_the_operator_is_explained() -> None:
    telemetry = Telemetry()
    telemetry.watch_queue(WorkQueue())
    given = {name for name in METRIC.findall(telemetry.page().decode()) if not name.endswith("_created")}
    text = (DOCS / "operations.md").read_text().partition("## Metrics of the operator")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(millgate_\w+)", text)) == given


@pytest.mark.parametrize("page", ["stepping", "rolled_back", "history"])
def test_the_command_line_s_page_shows_what_the_command_shows(page: str) -> None:
    shown = (Path(__file__).parent / "cli_pages" / f"{page}.txt").read_text().rstrip()
    assert shown in (DOCS / "cli.md").read_text()
