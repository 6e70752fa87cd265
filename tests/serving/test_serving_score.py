"""A file of rows is scored by the rules of a request: bad rows aside, every other row once, whatever ends it."""

import contextlib
import csv
import json
import signal
import subprocess
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from pyarrow import parquet
from serving_process import COMMAND, START_SECONDS, environment, eventually

from millgate_serving import settings as serving_settings
from millgate_serving.batch import batch as batches
from millgate_serving.batch.batch import Batch, Options
from millgate_serving.batch.problem import BatchError
from millgate_serving.batch.scoring import Columns
from millgate_serving.loading import Progress, load

ROW = {"a": 0.5, "b": -1.0, "c": 2.0, "d": 0.25}
SUFFIXES = ("csv", "jsonl", "parquet")


@pytest.fixture(scope="module")
def ready(saved_models):
    """Loaded models, as a server loads them."""
    made = {}

    def of(name):
        if name not in made:
            read = serving_settings.read(
                {
                    "MILLGATE_MODEL_NAME": name,
                    "MILLGATE_MODEL_PATH": str(saved_models(name)),
                    "MILLGATE_MODEL_VERSION": "8",
                }
            )
            made[name] = load(read, Progress())
        return made[name]

    return of


def write(path, rows):
    """Rows of named values in the form that the suffix says."""
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(path):
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                row | {name: json.loads(row[name]) for name in ("row", "prediction", "probabilities")}
                for row in csv.DictReader(file)
            ]
    return json_lines(path)


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def options(source, target, *, keep=(), drop=(), rows=10, restart=False):
    return Options(source, target, target.with_name("rejected.jsonl"), Columns(keep, drop), rows, restart)


def score(model, chosen, *, tell=lambda *_: None, stopping=lambda: False):
    return Batch(chosen, model, "numbers", "8").run(tell, stopping)


def many(count=55):
    return [{"id": f"n{number}", **ROW, "a": number / 10 - 2} for number in range(count)]


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_every_form_of_file_gives_the_answers_of_a_request(source, target, ready, tmp_path):
    model, rows = ready("numbers"), many()
    report = score(model, options(write(tmp_path / f"in.{source}", rows), tmp_path / f"out.{target}", keep=("id",)))
    arrays = model.decode(json.dumps({"rows": [{k: v for k, v in row.items() if k != "id"} for row in rows]}).encode())
    (_, labels), (_, probabilities) = model.predict(arrays)
    assert results(tmp_path / f"out.{target}") == [
        {"row": number + 1, "id": row["id"], "prediction": int(label), "probabilities": [float(p) for p in pair]}
        for number, (row, label, pair) in enumerate(zip(rows, labels, probabilities, strict=True))
    ]
    assert (report.scored, report.rejected) == (len(rows), 0)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"in.{source}", f"out.{target}", f"out.{target}.report.json"}


BAD = [
    ("csv", "id,a,b,c,d\n1,1,2,3,4\n2,x,2,3,4\n3,1,2,,4\n4,1,2\n5,1e400,2,3,4\n6,NaN,2,3,4\n7,01,2,3,4\n8, 1 ,2,3,4\n"),
    (
        "jsonl",
        """
        {"id":1,"a":1,"b":2,"c":3,"d":4}
        {"id":2,"a":"x","b":2,"c":3,"d":4}
        {"id":3,"a":1,"b":2,"c":null,"d":4}
        {"id":4,"a":1,"b":2}
        {"id":5,"a":1e400,"b":2,"c":3,"d":4}
        {"id":6,"a":NaN,"b":2,"c":3,"d":4}
        {"id":7,"a":1,"b":2,"c":3,"d":4,"e":5}
        {"id":8,"a":1,"b":2,"c":3,"d":4}
        """,
    ),
]


@pytest.mark.parametrize(("suffix", "text"), BAD, ids=["csv", "jsonl"])
def test_bad_rows_go_to_the_side_file_with_their_number_and_what_is_wrong(suffix, text, ready, tmp_path):
    source = tmp_path / f"in.{suffix}"
    source.write_text(text)
    report = score(ready("numbers"), options(source, tmp_path / "out.jsonl", keep=("id",)))
    assert [row["row"] for row in json_lines(tmp_path / "out.jsonl")] == [1, 8]
    rejected = json_lines(tmp_path / "rejected.jsonl")
    assert [row["row"] for row in rejected] == [2, 3, 4, 5, 6, 7]
    assert all(set(row) == {"row", "error", "data"} for row in rejected)
    assert rejected[0]["error"].startswith("a: ")
    assert rejected[1]["error"].startswith("c: ")
    assert (report.scored, report.rejected, report.rejected_file) == (2, 6, str(tmp_path / "rejected.jsonl"))


def test_an_infinity_of_a_parquet_file_is_no_null(ready, tmp_path):
    source = write(tmp_path / "in.parquet", [ROW, ROW | {"a": float("inf")}, ROW | {"a": float("nan")}])
    score(ready("numbers"), options(source, tmp_path / "out.jsonl"))
    assert [row["row"] for row in json_lines(tmp_path / "out.jsonl")] == [1]
    assert [row["row"] for row in json_lines(tmp_path / "rejected.jsonl")] == [2, 3]


@pytest.mark.parametrize("target", ["csv", "jsonl", "parquet"])
def test_kept_values_that_only_parquet_has_are_kept_in_every_form(target, ready, tmp_path):
    moment = datetime(2026, 11, 23, 1, 2, 3, 4)  # noqa: DTZ001 - moments of Parquet need no zone
    extra = pa.table(
        {
            "at": pa.array([moment], pa.timestamp("ns")),
            "on": pa.array([moment.date()]),
            "price": pa.array([Decimal("1.50")]),
            "raw": pa.array([b"xy"]),
        }
    )
    table = pa.table({name: [value] for name, value in ROW.items()})
    for name in extra.column_names:
        table = table.append_column(name, extra[name])
    parquet.write_table(table, tmp_path / "in.parquet")
    score(
        ready("numbers"), options(tmp_path / "in.parquet", tmp_path / f"out.{target}", keep=tuple(extra.column_names))
    )
    (found,) = results(tmp_path / f"out.{target}")
    texts = {"at": "2026-11-23T01:02:03.000004", "on": "2026-11-23", "price": "1.50", "raw": "eHk="}
    expected = extra.to_pylist()[0] if target == "parquet" else texts
    assert {name: found[name] for name in texts} == expected


def test_a_row_on_which_the_model_fails_takes_no_other_with_it(ready, tmp_path):
    """The encoder of `mixed` raises on a country that it was not trained with."""
    rows = [{"amount": 1.0, "items": 2, "country": country} for country in ("DE", "US", "FR", "DE", "XX")]
    score(ready("mixed"), options(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"))
    assert [row["row"] for row in json_lines(tmp_path / "out.jsonl")] == [1, 3, 4]
    rejected = json_lines(tmp_path / "rejected.jsonl")
    assert [(row["row"], row["data"]["country"]) for row in rejected] == [(2, "US"), (5, "XX")]
    assert all(row["error"].startswith("the model failed to answer (") for row in rejected)


@pytest.mark.parametrize(
    ("suffix", "text"), [("jsonl", "[1,2,3,4]\n[1,2,3]\n[1,2,3,4]\n"), ("csv", "p,q,r,s\n1,2,3,4\n1,2,3,\n1,2,3,4\n")]
)
def test_a_model_with_one_tensor_takes_lists_or_the_numbers_of_a_line(suffix, text, ready, tmp_path):
    (tmp_path / f"in.{suffix}").write_text(text)
    score(ready("tensor"), options(tmp_path / f"in.{suffix}", tmp_path / "out.jsonl"))
    assert [row["row"] for row in json_lines(tmp_path / "out.jsonl")] == [1, 3]
    assert [row["row"] for row in json_lines(tmp_path / "rejected.jsonl")] == [2]


REFUSED = [
    ("a,b,c\n1,2,3\n", {}, "no column 'd', which the model needs"),
    ("a,b,c,d,e\n1,2,3,4,5\n", {}, "no input 'e': give --keep"),
    ("a,b,c,d,a\n", {}, "two columns have the same name"),
    ("", {}, "no line with the names"),
    ("a,b,c,d\n1,2,3,4\n", {"keep": ("id",)}, "--keep: the file has no column 'id'"),
    ("a,b,c,d,prediction\n1,2,3,4,5\n", {"keep": ("prediction",)}, "--keep: the result has a column"),
    ('a,b,c,d\n1,2,3,"4\n', {}, "cannot be read as CSV"),
]


@pytest.mark.parametrize(("text", "chosen", "message"), REFUSED)
def test_a_file_that_does_not_fit_is_refused_before_it_is_scored(text, chosen, message, ready, tmp_path):
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(BatchError, match=message):
        score(ready("numbers"), options(tmp_path / "in.csv", tmp_path / "out.csv", **chosen))
    assert not (tmp_path / "out.csv").exists()


def test_a_column_that_is_dropped_is_neither_asked_nor_answered(ready, tmp_path):
    source = write(tmp_path / "in.csv", [ROW | {"label": 1}])
    score(ready("numbers"), options(source, tmp_path / "out.jsonl", keep=("a",), drop=("label",)))
    assert list(json_lines(tmp_path / "out.jsonl")[0]) == ["row", "a", "prediction", "probabilities"]


class CrashError(Exception):
    pass


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ends=strategies.lists(strategies.tuples(strategies.integers(1, 4), strategies.booleans()), max_size=4),
    forms=strategies.tuples(strategies.sampled_from(SUFFIXES), strategies.sampled_from(SUFFIXES)),
    seconds=strategies.sampled_from([0.0, 3600.0]),
)
def test_whenever_it_is_ended_every_row_is_answered_once(ends, forms, seconds, ready, tmp_path_factory):
    """In order or cut off between two chunks; with a checkpoint after each chunk, or none but at an orderly end."""
    folder = tmp_path_factory.mktemp("ended")
    rows = [row | ({"b": None} if number in {13, 14, 31} else {}) for number, row in enumerate(many())]
    source = write(folder / f"in.{forms[0]}", rows)
    chosen = options(source, folder / f"out.{forms[1]}", keep=("id",))
    (folder / "whole").mkdir()
    whole = options(source, folder / "whole" / chosen.output.name, keep=("id",), rows=1000)
    score(ready("numbers"), whole)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(batches, "CHECKPOINT_SECONDS", seconds)
        for chunks, crashes in ends:
            ended(ready("numbers"), chosen, chunks, crashes=crashes)
        if not chosen.output.exists():
            score(ready("numbers"), chosen)
    assert results(chosen.output) == results(whole.output)
    assert chosen.rejected.read_bytes() == whole.rejected.read_bytes()
    assert {path.name for path in folder.iterdir()} == {path.name for path in (folder / "whole").iterdir()} | {
        source.name,
        "whole",
    }


def ended(model, chosen, chunks, *, crashes):
    """A run that ends after so many chunks, if it has as many left."""
    seen = []

    def tell(*_):
        seen.append(1)
        if crashes and len(seen) == chunks:
            raise CrashError

    if not chosen.output.exists():
        with contextlib.suppress(CrashError):
            score(model, chosen, tell=tell, stopping=lambda: len(seen) >= chunks - 1)


def test_an_input_that_changed_is_not_taken_up_again(ready, tmp_path):
    source = write(tmp_path / "in.csv", many())
    chosen = options(source, tmp_path / "out.csv", keep=("id",))
    assert score(ready("numbers"), chosen, stopping=lambda: True) is None
    write(source, many(60))
    with pytest.raises(BatchError, match=r"begun with another input.*--restart"):
        score(ready("numbers"), chosen)
    assert score(ready("numbers"), options(source, chosen.output, keep=("id",), restart=True)).scored == 60


def run(folder, *words, **variables):
    done = subprocess.run(
        [COMMAND, "score", *words], env=environment(folder, **variables), timeout=START_SECONDS, check=False
    )
    return done.returncode, json.loads((folder / "termination-log").read_bytes())


def test_the_command_tells_its_end_by_exit_code_and_termination_message(saved_models, tmp_path):
    model = {"MILLGATE_MODEL_PATH": saved_models("numbers")}
    source, target = write(tmp_path / "in.csv", [ROW, ROW | {"a": "x"}]), tmp_path / "out.csv"
    words = ("--input", source, "--output", target)
    code, message = run(tmp_path, *words, **model)
    assert (code, message["scored"], message["rejected"]) == (0, 1, 1)
    assert message["identity"]["digest"].startswith("sha256:")
    before = target.stat().st_mtime_ns
    assert run(tmp_path, *words, **model) == (0, message)  # a Job that is started once more
    assert target.stat().st_mtime_ns == before
    code, message = run(tmp_path, *words, "--restart", "--max-rejected", "0.1", **model)
    assert (code, message["error"]["reason"]) == (1, "TooManyRejected")
    assert "1 of 2 rows" in message["error"]["message"]
    code, message = run(tmp_path, "--input", tmp_path / "absent.csv", "--output", target, **model)
    assert (code, message["error"]["reason"]) == (1, "BatchInvalid")
    code, message = run(tmp_path, *words, MLFLOW_TRACKING_URI="http://127.0.0.1:1", MILLGATE_FETCH_DEADLINE_SECONDS=1)
    assert (code, message["error"]["reason"]) == (75, "RegistryUnreachable")


def test_sigterm_keeps_what_was_scored_and_the_next_start_goes_on(saved_models, tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    count = 150_000
    source.write_text("a,b,c,d\n" + "0.5,-1,2,0.25\n" * count)
    words = [COMMAND, "score", "--input", source, "--output", target, "--chunk-rows", "100", "--progress-seconds", "0"]
    variables = environment(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers"))
    process = subprocess.Popen(words, env=variables, stdout=subprocess.PIPE)
    eventually((tmp_path / "out.csv.partial").exists, START_SECONDS)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=START_SECONDS)[0].decode()
    assert process.returncode == 75, said
    state = json.loads((tmp_path / "out.csv.progress.json").read_text())
    assert 0 < state["scored"] < count
    assert not target.exists()
    done = subprocess.run(words, env=variables, timeout=START_SECONDS, check=False, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert f'"rows":{state["scored"] + 100},' in done.stdout.decode()  # the first rows were not scored again
    numbers = [int(line.partition(",")[0]) for line in target.read_text().splitlines()[1:]]
    assert numbers == list(range(1, count + 1))
