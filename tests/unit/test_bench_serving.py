"""The comparison of model servers: what it asks, how it reads answers, and what it says of the figures."""

import struct
from pathlib import Path

import msgspec
import pytest

from e2e.bench.serving import cli, report
from e2e.bench.serving.cases import JSON_LENGTH, Case, dataframe_split, named_rows, plain_rows, v2_binary, v2_json
from e2e.bench.serving.servers import SERVERS
from e2e.bench.serving.sidebyside import Cell, Found, Run
from e2e.bench.serving.subject import NAMES, Subject

ROWS = [[number + column / 100 for column in range(len(NAMES))] for number in range(1600)]
SUBJECT = Subject(Path("/model"), ROWS, [number % 2 for number in range(1600)])
V2 = {"outputs": [{"name": "label", "shape": [2], "datatype": "INT64", "data": [1, 0]}]}


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (named_rows("/p"), {"predictions": [1, 0]}),
        (dataframe_split("/p"), {"predictions": [1.0, 0.0]}),
        (plain_rows("/p"), [1, 0]),
        (v2_json("/p", "x"), V2),
        (v2_binary("/p", "x"), V2),
    ],
)
def test_every_form_reads_labels_from_an_answer(form, answer):
    assert form.labels(msgspec.json.encode(answer), {}) == [1, 0]


@pytest.mark.parametrize(("datatype", "code"), [("INT64", "q"), ("INT32", "i"), ("FP32", "f"), ("FP64", "d")])
def test_binary_tensors_are_read_and_written_as_the_extension_says(datatype, code):
    body, headers = v2_binary("/p", "x").body(ROWS[:2])
    length = int(headers["Inference-Header-Content-Length"])
    (tensor,) = msgspec.json.decode(body[:length])["inputs"]
    assert tensor["parameters"]["binary_data_size"] == len(body) - length
    assert list(struct.unpack("<40d", body[length:])) == ROWS[0] + ROWS[1]
    raw = struct.pack(f"<2{code}", 1, 0)
    head = msgspec.json.encode({"outputs": [{"datatype": datatype, "parameters": {"binary_data_size": len(raw)}}]})
    assert v2_binary("/p", "x").labels(head + raw, {JSON_LENGTH: str(len(head))}) == [1, 0]


def test_the_bodies_of_a_case_are_different_and_know_their_labels():
    asked = Case(plain_rows("/p"), 100).asked(SUBJECT)
    assert len({each.body for each in asked}) == len(asked) == 16
    assert [label for each in asked for label in each.labels] == SUBJECT.labels


def found(rate: float, *, rss_mib: float = 90.0, half_p99_ms: float = 1.0) -> Found:
    runs = [Run(rate * share, 0.5, 1.0, 30.0, 0.01, 0.5) for share in (0.9, 1.0, 5.0)]
    half = Run(rate / 2, 0.4, half_p99_ms, 30.0, 0.01, 0.3)
    return Found({}, [], [0.9, 0.5, 0.6], 0, rss_mib, 70.0, 1, {report.ONE_ROW: Cell(runs, [half])})


def test_the_table_holds_medians_beside_those_of_mlflow():
    table = report.table({"mlflow": found(200.0), "millgate": found(30_000.0)})
    (ours,) = (line for line in table.splitlines() if "everything on" in line)
    assert "| 30,000 (150x) | 0.50 ms | 1.00 ms | 1.00 ms | 30 µs | 90 / 70 MiB | 0.60 s |" in ours
    assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("ours", "broken"),
    [
        (found(30_000.0), []),
        (found(19_000.0), ["mlflow"]),
        (found(30_000.0, rss_mib=130.0), ["MiB"]),
        (found(30_000.0, half_p99_ms=2.5), ["p99"]),
    ],
)
def test_an_aim_that_is_missed_is_said(ours, broken):
    known = {"mlflow": found(200.0), "mlserver": found(800.0), "kserve": found(1600.0), "millgate": ours}
    missed = [said for said, holds in report.goals(known) if not holds]
    assert [
        word for word in ("mlflow", "mlserver", "kserve", "MiB", "p99", "ready") if any(word in said for said in missed)
    ] == broken


def test_the_page_takes_a_table_and_later_another_one():
    page = f"before\n{cli.BEGIN}\n{cli.END}\nafter\n"
    once = cli.with_table(page, "| one |")
    assert once == f"before\n{cli.BEGIN}\n| one |\n{cli.END}\nafter\n"
    assert cli.with_table(once, "| two |") == once.replace("one", "two")
    assert cli.PAGE.read_text().count(cli.BEGIN) == 1


def test_every_server_is_pinned_to_a_version():
    for server in SERVERS:
        assert server.forms
        assert all("==" in requirement or requirement == "skops" for requirement in server.requirements)
