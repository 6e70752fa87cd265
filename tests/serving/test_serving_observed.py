"""A server with everything switched on, asked over HTTP: what it tells of its requests, and what it keeps to itself."""

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_process import ask, eventually, serving

ROW = {"amount": 1.0, "items": 2, "country": "DE"}
SEGMENTS = {"inputs": {"country": {"enum": ["DE", "FR", "Atlantis"]}}, "segments": ["country"]}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Takes spans as an OpenTelemetry collector does, over HTTP."""

    def __init__(self) -> None:
        self.spans: list = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
                    ExportTraceServiceRequest,
                )

                request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
                collector.spans += [s for r in request.resource_spans for one in r.scope_spans for s in one.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def collector():
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def observed(saved_models, folder, collector):
    model = folder / "model"
    shutil.copytree(saved_models("mixed"), model)
    (model / "millgate").mkdir()
    (model / "millgate" / "constraints.json").write_text(json.dumps(SEGMENTS))
    variables = {
        "MILLGATE_MODEL_PATH": model,
        "MILLGATE_ACCESS_LOG": "all",
        "MILLGATE_ACCESS_LOG_LINES_PER_SECOND": 0,
        "MILLGATE_MASK_FIELDS": "AMOUNT,nothing",
        "MILLGATE_PREDICTION_LOG": folder / "log",
        "MILLGATE_FEEDBACK_ROWS": 1000,
        "MILLGATE_TRACE_SHARE": 0,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": 100,
    }
    with serving(folder, **variables) as server:
        yield server.wait_ready()


def series(server):
    text = server.request("GET", "/metrics").body.decode()
    own = {"model", "version", "revision"}
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name not in own)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def predict(server, *rows, **headers):
    return server.request("POST", "/predict", json.dumps({"rows": rows}).encode(), **headers)


def line_of(server, request_id):
    """The line of a request in the log, once its buffer was written."""
    return eventually(lambda: next((e for e in server.events if e.get("requestId") == request_id), None))


def record_of(folder, request_id, event="prediction"):
    def found():
        lines = [
            json.loads(line) for path in (folder / "log").glob("*.jsonl") for line in path.read_text().splitlines()
        ]
        return next((one for one in lines if one["requestId"] == request_id and one["event"] == event), None)

    return eventually(found)


def test_a_line_tells_of_a_request_by_its_ids_and_times_and_not_by_its_values(observed):
    answer = predict(observed, ROW, ROW, x_request_id="line-1", traceparent=TRACEPARENT)
    assert answer.headers["x-request-id"] == "line-1"
    line = line_of(observed, "line-1")
    assert (line["event"], line["level"], line["status"], line["rows"]) == ("request", "info", 200, 2)
    assert (line["segment"], line["traceparent"], line["protocol"]) == ("DE", TRACEPARENT, "predict")
    assert 0 < line["modelSeconds"] < line["seconds"]
    assert 0 <= line["queueSeconds"] < line["seconds"]
    assert (line["requestBytes"], line["answerBytes"]) == (len(json.dumps({"rows": [ROW, ROW]})), len(answer.body))
    assert "amount" not in line
    refused = predict(observed, ROW | {"items": "two"}, x_request_id="line-2", traceparent="x" * 3000)
    assert refused.status == 400
    line = line_of(observed, "line-2")
    assert line["level"] == "warning"
    assert "traceparent" not in line, "what a client puts there is kept only if it is one"


def test_requests_errors_and_times_are_counted_by_segment(observed):
    before = series(observed)
    predict(observed, ROW)
    predict(observed, ROW | {"country": "FR"}, ROW)
    failed = predict(observed, ROW | {"country": "Atlantis"})
    assert failed.status == 500
    predict(observed, ROW | {"country": "Nowhere"})
    after = series(observed)
    changed = {key: after[key] - before[key] for key in after if key in before and after[key] != before[key]}
    requests = {key[1:]: n for key, n in changed.items() if key[0] == "millgate_requests_total"}
    assert requests == {("200", "DE"): 1, ("200", "__mixed__"): 1, ("500", "Atlantis"): 1, ("400", "__none__"): 1}
    assert {key: n for key, n in changed.items() if key[0] == "millgate_request_errors_total"} == {
        ("millgate_request_errors_total", "Atlantis"): 1
    }
    for name in ("millgate_request_duration_seconds_count", "millgate_model_seconds_count"):
        assert changed[name, "Atlantis"] == changed[name, "DE"] == 1
    assert ("millgate_model_seconds_count", "__none__") not in changed, "it was never given to the model"
    assert changed["millgate_requests_rejected_total", "Invalid"] == 1
    assert changed["millgate_rows_total",] == 4
    assert changed["millgate_confidence_count",] == 3
    assert changed["millgate_request_bytes_total",] > 250
    assert changed["millgate_answer_bytes_total",] > 250
    assert set(after) == set(before), "a request has made a series"


def test_predictions_are_kept_with_what_is_masked_left_out(observed, folder):
    secret = 987654.25
    predict(observed, ROW | {"amount": secret}, ROW, x_request_id="kept-1")
    record = record_of(folder, "kept-1")
    assert record["inputs"] == {"amount": "***", "items": [2, 2], "country": ["DE", "DE"]}
    assert len(record["outputs"]["predictions"]) == record["rows"] == 2
    assert (record["model"], record["version"], record["revision"]) == ("fraud", "8", "r0000001")
    assert record["digest"].startswith("sha256:")
    predict(observed, ROW | {"country": "Atlantis"}, x_request_id="kept-2")
    failed = record_of(folder, "kept-2")
    assert (failed["status"], failed["outputs"], failed["reason"]) == (500, None, "ModelFailed")
    predict(observed, *[ROW] * 300, x_request_id="kept-3")
    large = record_of(folder, "kept-3")
    assert (large["rows"], len(large["inputs"]["country"]), len(large["outputs"]["predictions"])) == (300, 100, 100)
    everything = "".join(path.read_text() for path in (folder / "log").iterdir()) + str(observed.events)
    assert "987654" not in everything
    assert observed.event("masks that cover no field")["patterns"] == ["nothing"]


def test_labels_that_come_later_become_accuracy_and_calibration(observed, folder):
    before = series(observed)
    first = predict(observed, ROW, ROW, x_request_id="judged-1")
    right = first.json["predictions"]
    labels = [right[0], 1 - right[1]]
    body = json.dumps({"id": "judged-1", "labels": labels}).encode()
    answer = observed.request("POST", "/feedback", body)
    assert (answer.status, answer.json) == (200, {"joined": 2, "unknown": 0, "repeated": 0})
    again = observed.request("POST", "/feedback", body)
    assert again.json == {"joined": 0, "unknown": 0, "repeated": 2}
    told = first.json | {"id": "another pod's", "labels": right}
    assert observed.request("POST", "/feedback", json.dumps(told).encode()).json["joined"] == 2
    after = series(observed)
    changed = {key: after[key] - before[key] for key in after if after[key] != before[key]}
    assert changed["millgate_feedback_rows_total", "8"] == 4
    assert changed["millgate_feedback_correct_total", "8"] == 3
    assert changed["millgate_feedback_repeated_total",] == 2
    calibrated = [n for key, n in changed.items() if key[0] == "millgate_feedback_calibration_rows_total"]
    assert sum(calibrated) == 4
    sure = max(first.json["outputs"]["probabilities"][0])
    brier = 3 * (sure - 1) ** 2 + sure**2
    assert changed["millgate_feedback_brier_total", "8"] == pytest.approx(brier)
    assert record_of(folder, "judged-1", "feedback")["labels"] == labels


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("GET", None, 405), ("POST", b"{}", 400), ("POST", b"\xff", 400), ("POST", b'{"id":"x","labels":[1]}', 200)],
)
def test_feedback_is_refused_in_the_one_form_of_refusals(observed, method, body, status):
    answer = observed.request(method, "/feedback", body)
    assert answer.status == status
    assert answer.error if status != 200 else answer.json["unknown"] == 1


def test_a_caller_who_traces_gets_a_span_and_nobody_else_does(observed, collector):
    predict(observed, ROW, x_request_id="untraced", traceparent=TRACEPARENT[:-1] + "0")
    predict(observed, ROW, x_request_id="alone")
    predict(observed, ROW, x_request_id="traced", traceparent=TRACEPARENT)

    def spans():
        return [{a.key: a.value.string_value for a in span.attributes} | {"span": span} for span in collector.spans]

    found = eventually(lambda: next((one for one in spans() if one["millgate.request_id"] == "traced"), None))
    span = found["span"]
    assert span.trace_id.hex() == TRACEPARENT.split("-")[1]
    assert span.parent_span_id.hex() == TRACEPARENT.split("-")[2]
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 10e9
    assert not {"untraced", "alone"} & {one["millgate.request_id"] for one in spans()}


def test_every_metric_that_is_exported_is_documented(observed):
    docs = Path(__file__).parents[2] / "docs"
    pages = "".join((docs / f"serving-{page}.md").read_text() for page in ("observing", "protection"))
    text = observed.request("GET", "/metrics").body.decode()
    families = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert len(families) > 30
    training = {name for name in families if name.startswith("millgate_training_")}  # the page has them in short
    assert [name for name in sorted(families - training) if name not in pages] == []


def test_without_any_setting_nothing_is_kept_and_only_refusals_are_logged(numbers):
    row = {"a": 1, "b": 1, "c": 1, "d": 1}
    numbers.request("POST", "/predict", json.dumps({"rows": [row]}).encode(), x_request_id="good")
    numbers.request("POST", "/predict", b'{"rows": [{"a": "secret"}]}', x_request_id="bad")
    line = line_of(numbers, "bad")
    assert (line["status"], line["level"]) == (400, "warning")
    assert "secret" not in str(numbers.events)
    assert not [event for event in numbers.events if event.get("requestId") == "good"]
    off = numbers.request("POST", "/feedback", b'{"id": "good", "labels": [1]}')
    assert off.status == 404
    assert "MILLGATE_FEEDBACK_ROWS" in off.error


def test_a_log_that_nobody_reads_stops_no_request(saved_models, tmp_path):
    """Given a full pipe at standard output, when requests go on, then they are answered, and lost lines are counted."""
    # Lines of kilobytes, so that a thousand of them fill the buffer.
    variables = {"MILLGATE_ACCESS_LOG": "all", "MILLGATE_PREDICTION_LOG": "stdout"}
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers"), **variables) as server:
        server.wait_ready()
        server.pause_reading()
        body = json.dumps({"rows": [dict.fromkeys("abcd", 1.23456789)] * 100}).encode()
        connection = server.connect()

        def answered() -> bool:
            """A busy machine may make the server decline one; one that waits for its log would not answer at all."""
            return ask(connection, "POST", "/predict", body).status == 200

        def lost() -> bool:
            return sum(answered() for _ in range(100)) > 0 and series(server)["millgate_dropped_total", "log"] > 0

        eventually(lost, 120)
        eventually(answered)
        server.terminate()
        server.resume_reading()
        assert server.exit_code() == 0


def test_predictions_may_go_to_standard_output(saved_models, tmp_path):
    with serving(
        tmp_path,
        MILLGATE_MODEL_PATH=saved_models("numbers"),
        MILLGATE_PREDICTION_LOG="stdout",
        MILLGATE_MASK_FIELDS="a",
    ) as server:
        server.wait_ready()
        body = json.dumps({"rows": [{"a": 1, "b": 2, "c": 3, "d": 4}]}).encode()
        server.request("POST", "/predict", body, x_request_id="told")
        line = line_of(server, "told")
        assert (line["event"], line["inputs"]["a"], line["inputs"]["b"]) == ("prediction", "***", [2.0])


def test_what_is_buffered_when_a_server_is_stopped_is_written(saved_models, tmp_path):
    variables = {"MILLGATE_ACCESS_LOG": "all", "MILLGATE_PREDICTION_LOG": tmp_path / "log"}
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers"), **variables) as server:
        server.wait_ready()
        body = json.dumps({"rows": [{"a": 1, "b": 1, "c": 1, "d": 1}]}).encode()
        for number in range(20):
            server.request("POST", "/predict", body, x_request_id=f"last-{number}")
        server.terminate()
        assert server.exit_code() == 0
        expected = {f"last-{number}" for number in range(20)}
        server.event("stopped")
        assert {event["requestId"] for event in server.events if event["event"] == "request"} == expected
        kept = [json.loads(line) for file in (tmp_path / "log").iterdir() for line in file.read_text().splitlines()]
        assert {record["requestId"] for record in kept} == expected
