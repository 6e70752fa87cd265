"""What observes requests: nothing blocks, nothing grows, nothing that is masked is kept, what is lost is counted."""

import json
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import millgate_serving
from millgate_serving import access_log, logs, observing, tracing
from millgate_serving.access_log import Clock
from millgate_serving.background import Background
from millgate_serving.constraints import Constraints, InputRules
from millgate_serving.exchange import Exchange
from millgate_serving.failure import ServingError
from millgate_serving.metrics import Metrics
from millgate_serving.named_values import MASK, Mask, NamedValues
from millgate_serving.prediction_log import Identity, PredictionLog, PredictionLogSettings, RotatingFiles
from millgate_serving.profile import Profile
from millgate_serving.segments import MIXED, NOT_READ, of_model
from millgate_serving.settings import read as read_settings
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.summary import OTHER, Categorical, Numeric
from millgate_serving.tracing import Parent, parent_of
from millgate_serving.validation import Layout

FLOATS = np.dtype(np.float32)
TEXTS = np.dtype(object)


# The buffer


def test_a_sink_that_hangs_holds_nobody_up_and_what_does_not_fit_is_counted():
    """As standard output when nobody reads it, or a volume that has gone away."""
    hangs, entered, taken = threading.Event(), threading.Event(), []

    def work(batch: list[bytes]) -> None:
        entered.set()
        hangs.wait()
        taken.extend(batch)

    buffer = Background("test", work, limit=100, failed=pytest.fail)
    buffer.put([b"first"], 40, soon=True)
    entered.wait()
    for _ in range(1000):
        buffer.put([b"more"], 10)
    assert buffer.dropped == 1000 - 6, "what is being written still takes its place"
    hangs.set()
    buffer.close(20)
    assert taken == [b"first", *[b"more"] * 6]


def test_a_sink_that_fails_loses_its_batch_counts_it_and_goes_on():
    told, taken = [], []

    def work(batch: list[int]) -> None:
        if 1 in batch:
            raise OSError(28, "No space left on device")
        taken.extend(batch)

    failed = threading.Event()

    def tell(error: Exception) -> None:
        told.append(error)
        failed.set()

    buffer = Background("test", work, limit=100, failed=tell)
    buffer.put([1], 1, soon=True)
    failed.wait()
    buffer.put([2], 1)
    buffer.close(20)
    assert (taken, buffer.dropped, len(told)) == ([2], 1, 1)


def test_closing_writes_what_is_left_and_does_not_wait_for_ever():
    never, taken = threading.Event(), []
    buffer = Background("test", taken.extend, limit=10, failed=pytest.fail)
    buffer.put(["last"], 1)
    buffer.close(20)
    assert taken == ["last"]
    stuck = Background("test", lambda _batch: never.wait(), limit=10, failed=pytest.fail)
    stuck.put(["x"], 1, soon=True)
    stuck.close(0.01)
    never.set()


# The access log


def lines_of(monkeypatch, sink, statuses):
    written = []
    monkeypatch.setattr(access_log, "log_lines", lambda lines: written.extend(map(json.loads, lines)))
    for status in statuses:
        sink([Exchange(0.0, "predict", status, "", "x", "", 1, 0, 0, 0, "", 0, 0)])
    return written


@pytest.mark.parametrize(("which", "expected"), [("all", [200, 400, 503, 500]), ("errors", [400, 503, 500])])
def test_the_access_log_tells_of_what_was_asked_for(monkeypatch, which, expected):
    written = lines_of(monkeypatch, access_log.AccessLog(which, 0), [200, 400, 503, 500])
    assert [line["status"] for line in written] == expected
    assert [line["level"] for line in written][-3:] == ["warning", "error", "error"]


def test_a_flood_of_refusals_does_not_become_a_flood_of_lines(monkeypatch):
    """What is left out is counted: in the metrics, and in the next line."""
    sink, second = access_log.AccessLog("errors", 10), [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: second[0])
    assert len(lines_of(monkeypatch, sink, [429] * 1000)) == 10
    assert sink.suppressed == 990
    second[0] += 1
    (line,) = lines_of(monkeypatch, sink, [429])
    assert line["suppressedBefore"] == 990
    assert sink.suppressed == 990


# Names and masks

COLUMNS = Signature((Column("amount", "double", True), Column("Card_Number", "string", True)), (), "")


class Engine:
    layout = Layout((FLOATS, TEXTS))
    outputs = ("label", "probabilities")

    def run(self, arrays):
        raise NotImplementedError


def named(*patterns: str, signature: Signature = COLUMNS, layout: Layout = Engine.layout) -> NamedValues:
    engine = Engine()
    engine.layout = layout
    return NamedValues(signature, engine, Mask(patterns))


def test_a_masked_field_is_named_and_its_values_are_not():
    values = named("card_*", "PROB*")
    arrays = [np.array([1.5, np.nan], np.float32), np.array(["4111", "4222"], object)]
    asked = values.of_request(arrays, 2)
    assert asked["Card_Number"] == MASK
    assert asked["amount"][0] == 1.5
    answered = values.of_answer([("label", np.array([0, 1])), ("probabilities", np.array([[0.5, 0.5]] * 2))], 2)
    assert answered == {"predictions": [0, 1], "probabilities": MASK}
    assert "4111" not in json.dumps([asked, answered])


def test_columns_of_a_matrix_and_tensors_are_told_by_name():
    matrix = named(layout=Layout((FLOATS, FLOATS), matrix=True))
    assert matrix.of_request([np.array([[1, 2], [3, 4]], np.float32)], 1) == {"amount": [1.0], "Card_Number": [2.0]}
    tensor = named(signature=Signature((Tensor("", "float32", (-1, 2)),), (), ""), layout=Layout((FLOATS,)))
    assert tensor.of_request([np.array([[1, 2], [3, 4]], np.float32)], 9) == {"input": [[1.0, 2.0], [3.0, 4.0]]}
    moments = named(signature=Signature((Column("at", "datetime", False),), (), ""), layout=Layout((FLOATS,)))
    asked = moments.of_request([np.array(["2026-01-02T03:04:05.006", "NaT"], "datetime64[ns]")], 2)
    assert asked == {"at": ["2026-01-02T03:04:05.006Z", None]}


def test_a_pattern_that_covers_no_field_is_found():
    """It is most likely misspelt, and the field that it should cover would be kept."""
    assert Mask(("card*", "iban")).without_effect(["amount", "card"]) == ["iban"]


# Files


def test_of_a_large_request_only_the_rows_that_are_kept_wait(tmp_path):
    """Ten thousand rows that wait for a slow volume would be ten thousand rows of memory."""
    values = np.zeros((10_000, 20))
    outputs = [("label", np.zeros(10_000)), ("map", [{0: 1.0}] * 10_000)]
    asked = Exchange(
        0.0, "predict", 200, "", "x", "", 10_000, 0, 0, 0, "", 10**6, 10**5, arrays=[values], outputs=outputs
    )
    identity = Identity("m", "1", "r", "d")
    layout = Layout((FLOATS,))
    names = named(signature=Signature((Tensor("", "float64", (-1, 20)),), (), ""), layout=layout)
    log = PredictionLog(PredictionLogSettings(tmp_path, 1.0, 10**9, 1), identity, names)
    for _ in range(300):  # far more than 16 MiB of rows
        log([asked])
    log.close()
    assert log.dropped == 0
    (path,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(lines) == 300
    assert {(line["rows"], len(line["inputs"]["input"]), len(line["outputs"]["predictions"])) for line in lines} == {
        (10_000, 100, 100)
    }


def rotating(folder: Path, *, max_bytes: int, files: int) -> RotatingFiles:
    return RotatingFiles(folder, PredictionLogSettings(folder, 1.0, max_bytes, files), "pod-a")


@given(
    st.lists(st.lists(st.integers(1, 40), max_size=8), min_size=1, max_size=12), st.integers(20, 90), st.integers(1, 4)
)
@settings(deadline=None)  # of a disk
def test_files_are_turned_over_and_hold_the_newest_lines_in_order(tmp_path_factory, batches, max_bytes, files):
    folder = tmp_path_factory.mktemp("log")
    sink, written = rotating(folder, max_bytes=max_bytes, files=files), []
    for batch in batches:
        lines = [f"{len(written) + n}".encode().ljust(size, b".") + b"\n" for n, size in enumerate(batch)]
        sink.write(lines)
        written += lines
    newest = folder / "predictions-pod-a.jsonl"
    paths = [path for n in range(9, 0, -1) if (path := newest.with_name(f"{newest.name}.{n}")).exists()]
    kept = b"".join(path.read_bytes() for path in [*paths, newest])
    assert b"".join(written).endswith(kept)
    assert len(list(folder.iterdir())) <= files
    assert all(path.stat().st_size <= max(max_bytes, 41) for path in folder.iterdir())
    if sum(map(len, written)) <= max_bytes:
        assert kept == b"".join(written)


def test_a_file_that_somebody_took_away_is_begun_again(tmp_path):
    sink = rotating(tmp_path / "made", max_bytes=1000, files=2)
    sink.write([b"one\n"])
    path = tmp_path / "made" / "predictions-pod-a.jsonl"
    path.unlink()
    sink.write([b"two\n"])
    assert path.read_bytes() == b"two\n"


# Segments

COUNTRY = Column("country", "string", True)
CHANNEL = Column("channel", "long", True)
SIGNATURE = Signature((Column("amount", "double", True), COUNTRY, CHANNEL), (), "")
APART = Layout((FLOATS, TEXTS, np.dtype(np.int64)))
SEEN = Profile(
    1,
    100,
    (
        Categorical("country", ("DE", "FR"), (70, 20, 10)),
        Numeric("channel", (1.0, 2.0), (90, 10, 0)),
        Numeric("amount", (1.0, 2.0), (90, 9, 1)),
    ),
    (),
)


def rows(countries: list[str | None], channels: list[int]):
    amounts = np.zeros(len(countries), np.float32)
    return [amounts, np.array(countries, object), np.array(channels, np.int64)]


@pytest.mark.parametrize(
    ("declared", "countries", "channels", "expected"),
    [
        (("country",), ["DE"], [1], "DE"),
        (("country",), ["DE", "DE"], [1, 2], "DE"),
        (("country",), ["DE", "FR"], [1, 1], MIXED),
        (("country",), ["Atlantis"], [1], OTHER),
        (("country",), [None], [1], OTHER),
        (("channel",), ["DE"], [2], "2"),
        (("channel",), ["DE"], [3], OTHER),
        (("country", "channel"), ["FR"], [2], "FR,2"),
        (("country", "channel"), ["FR", "FR"], [2, 1], MIXED),
    ],
)
def test_a_request_belongs_to_the_segment_of_its_rows(declared, countries, channels, expected):
    segments = of_model(Constraints(segments=declared), SIGNATURE, APART, SEEN)
    assert segments.of(rows(countries, channels)) == expected
    assert expected in segments.names


def test_segments_are_at_most_twenty_whatever_a_model_declares_and_a_client_sends():
    many = tuple(f"tenant-{n}" for n in range(500))
    rules = Constraints(inputs={"country": InputRules(enum=many)}, segments=("country", "channel"))
    segments = of_model(rules, SIGNATURE, APART, SEEN)
    assert len(segments.names) == 20 + 3
    assert {OTHER, MIXED, NOT_READ} <= set(segments.names)
    found = {segments.of(rows([f"tenant-{n}"], [1])) for n in range(1000)}
    assert found <= set(segments.names)


def test_without_a_list_of_values_there_is_one_segment_and_without_a_declaration_none():
    segments = of_model(Constraints(segments=("country",)), SIGNATURE, APART, None)
    assert segments.of(rows(["DE"], [1])) == OTHER
    assert of_model(Constraints(), SIGNATURE, APART, SEEN) is None


def test_whole_numbers_in_a_float_matrix_and_booleans_are_segments_too():
    signature = Signature((Column("a", "double", True), Column("vip", "boolean", True)), (), "")
    flags = of_model(Constraints(segments=("vip",)), signature, Layout((FLOATS, np.dtype(np.bool_))), None)
    assert flags.of([np.zeros(1), np.array([True])]) == "true"
    signature = Signature((Column("amount", "double", True), CHANNEL), (), "")
    matrix = of_model(Constraints(segments=("channel",)), signature, Layout((FLOATS, FLOATS), matrix=True), SEEN)
    assert matrix.of([np.array([[0.5, 2.0]], np.float32)]) == "2"


# Traces

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", Parent(int(TRACE, 16), int(SPAN, 16), sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", Parent(int(TRACE, 16), int(SPAN, 16), sampled=False)),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_the_callers_span_is_followed_where_its_header_is_valid(header, expected):
    assert parent_of(header) == expected


def test_an_endpoint_for_traces_in_an_image_without_the_library_is_told_at_the_start(monkeypatch):
    """As in the fast image: silence would look like traces that get lost."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ServingError, match="this image has no OpenTelemetry"):
        tracing.start("m", "1", "r", 0.01)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_configured_by_the_variables_of_opentelemetry(environment, expected):
    assert observing.read(environment).traces is expected


# Settings and time


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MILLGATE_ACCESS_LOG", "some", "MILLGATE_ACCESS_LOG must be one of none, errors, all"),
        ("MILLGATE_PREDICTION_LOG_SHARE", "1.5", "MILLGATE_PREDICTION_LOG_SHARE must be a number from 0 to 1"),
        ("MILLGATE_TRACE_SHARE", "-1", "MILLGATE_TRACE_SHARE must be a number from 0 to 1"),
        ("MILLGATE_FEEDBACK_ROWS", "many", "MILLGATE_FEEDBACK_ROWS must be a number from 0 to 1e+06"),
        ("MILLGATE_PREDICTION_LOG", "log", "MILLGATE_PREDICTION_LOG must be stdout or a folder that begins with /"),
        ("MILLGATE_PREDICTION_LOG_FILES", "0.5", "MILLGATE_PREDICTION_LOG_FILES must be a number from 1 to 1000"),
    ],
)
def test_a_setting_that_is_wrong_is_named(variable, value, message):
    with pytest.raises(ServingError) as raised:
        observing.read({"MILLGATE_PREDICTION_LOG": "/x"} | {variable: value})
    assert raised.value.message == message


def test_without_settings_nothing_is_kept_of_a_request():
    assert observing.read({}) == observing.Observing()
    assert observing.read({}).prediction_log is None
    assert observing.read({"MILLGATE_MASK_FIELDS": " card , name,"}).mask == ("card", "name")


def test_the_clock_tells_milliseconds_of_the_right_second():
    clock = Clock()
    times = [clock.text(seconds) for seconds in (1782000000.0, 1782000000.9996, 1782000001.25, 1782000000.5)]
    assert times == [
        "2026-06-21T00:00:00.000+00:00",
        "2026-06-21T00:00:00.999+00:00",
        "2026-06-21T00:00:01.250+00:00",
        "2026-06-21T00:00:00.500+00:00",
    ]


def test_every_reason_for_which_a_request_is_refused_has_its_series_from_the_start():
    """A first refusal must be an increase, not a series that begins at one."""
    known = read_settings({"MILLGATE_MODEL_NAME": "m", "MILLGATE_MODEL_PATH": "/m"})
    text = Metrics(known).exposition().decode()
    there = set(re.findall(r'millgate_requests_rejected_total{.*reason="(\w+)"} 0', text))
    package = Path(millgate_serving.__file__).parent
    used = {word for file in package.glob("*.py") for word in re.findall(r'reason="(\w+)"', file.read_text())}
    assert {"NotLoaded", "TooLarge", "DeadlineExceeded"} <= used
    assert used <= there
