"""The HTTP interface of a running server: answers, probes, and one form for every error."""

import json
import socket

import pytest
from serving_process import ask, serving

ROW = {"a": 1.0, "b": -2.0, "c": 0.5, "d": 3}
ONE_ROW = json.dumps({"rows": [ROW]}).encode()


def answered(server, request):
    """But for the request's own id."""
    return {name: value for name, value in server.predict(request).json.items() if name != "id"}


def test_rows_are_answered_by_the_model_with_its_name_and_version(numbers):
    from serving_models import expected_label  # noqa: PLC0415

    answer = numbers.predict({"rows": [ROW, ROW]})
    assert answer.status == 200
    assert answer.json["predictions"] == [expected_label(ROW)] * 2
    assert answer.json["model"] == "fraud"
    assert answer.json["version"] == "8"


def test_further_outputs_follow_by_name_with_one_entry_a_row(numbers):
    (probabilities,) = numbers.predict({"rows": [ROW]}).json["outputs"].values()
    assert len(probabilities) == 1
    assert sum(probabilities[0]) == pytest.approx(1)


def test_columns_are_the_same_request_as_rows(numbers):
    rows = [ROW, ROW | {"a": -5}]
    columns = {name: [row[name] for row in rows] for name in ROW}
    assert answered(numbers, {"columns": columns}) == answered(numbers, {"rows": rows})


def test_the_order_of_fields_does_not_matter(numbers):
    backwards = dict(reversed(ROW.items()))
    assert answered(numbers, {"rows": [backwards]}) == answered(numbers, {"rows": [ROW]})


def test_many_rows_are_answered_like_one(numbers):
    many = numbers.predict({"rows": [ROW] * 10_000})
    assert many.status == 200
    assert many.json["predictions"] == numbers.predict({"rows": [ROW]}).json["predictions"] * 10_000


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/version", "/metrics"])
def test_probes_and_pages_answer_get_and_head(numbers, path):
    got, head = numbers.request("GET", path), numbers.request("HEAD", path)
    assert (got.status, head.status) == (200, 200)
    assert got.body
    assert not head.body


def test_version_tells_which_bytes_are_served(numbers):
    version = numbers.request("GET", "/version").json
    assert (version["model"], version["version"], version["revision"]) == ("fraud", "8", "r0000001")
    assert version["digest"].startswith("sha256:")
    assert version["flavour"] == "onnx"


def test_version_tells_the_code_and_the_image_where_the_operator_has_told_them(numbers, saved_models, tmp_path):
    unknown = numbers.request("GET", "/version").json
    assert (unknown["gitCommit"], unknown["image"]) == (None, None)
    told = {"MILLGATE_GIT_COMMIT": "9f2c1ab", "MILLGATE_IMAGE": "registry.example/serving:1"}
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers"), **told) as server:
        known = server.wait_ready().request("GET", "/version").json
    assert (known["gitCommit"], known["image"]) == ("9f2c1ab", "registry.example/serving:1")


def test_every_answer_to_a_prediction_has_an_id_of_its_own(numbers):
    first, second = numbers.predict({"rows": [ROW]}), numbers.predict({"rows": [ROW]})
    refused = numbers.predict({"rows": []})
    ids = [answer.headers["x-request-id"] for answer in (first, second, refused)]
    assert len(set(ids)) == 3
    assert [first.json["id"], second.json["id"]] == ids[:2]


IDS = [("a", True), ('ORDER-7 "x"\\', True), ("x" * 128, True), ("x" * 129, False), ("", False), ("\xe9", False)]


@pytest.mark.parametrize(("given", "kept"), IDS, ids=["short", "quotes", "longest", "too long", "empty", "no ASCII"])
def test_a_clients_own_id_comes_back_if_it_can_stand_in_a_header(numbers, given, kept):
    answer = numbers.request("POST", "/predict", ONE_ROW, x_request_id=given)
    assert (answer.json["id"] == given) is kept
    assert answer.headers["x-request-id"] == answer.json["id"]
    assert answer.json["id"].isprintable()


ERRORS = [
    ("GET", "/nothing", None, {}, 404, "no such path"),
    ("POST", "/predict/", ONE_ROW, {}, 404, "no such path"),
    ("GET", "/predict", None, {}, 405, "POST"),
    ("DELETE", "/version", None, {}, 405, "GET"),
    ("POST", "/predict", ONE_ROW, {"content_type": "text/csv"}, 415, "application/json"),
    ("POST", "/predict", ONE_ROW, {"content_type": "application/json; charset=latin-1"}, 415, "UTF-8"),
    ("POST", "/predict", ONE_ROW, {"content_encoding": "gzip"}, 415, "identity"),
    ("POST", "/predict", b"", {}, 400, "not JSON"),
    ("POST", "/predict", b"{", {}, 400, "not JSON"),
    ("POST", "/predict", b"[1]", {}, 400, "expected 'object'"),
    ("POST", "/predict", b"{}", {}, 400, "'rows' or 'columns'"),
    ("POST", "/predict", b'{"rows": [], "columns": null}', {}, 400, "columns"),
    ("POST", "/predict", b'{"rows": []}', {}, 400, "at least one row"),
    ("POST", "/predict", b'{"lines": []}', {}, 400, "allowed: rows, columns"),
    ("POST", "/predict", ONE_ROW + b" trailing", {}, 400, "not JSON"),
]


@pytest.mark.parametrize("case", ERRORS, ids=[f"{c[0]} {c[1]} {c[5]}" for c in ERRORS])
def test_every_error_is_one_json_object_that_says_what_is_allowed(numbers, case):
    method, path, body, headers, status, says = case
    answer = numbers.request(method, path, body, **headers)
    assert answer.status == status
    assert says in answer.error


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
def test_json_is_recognised_however_it_is_written(numbers, content_type):
    assert numbers.request("POST", "/predict", ONE_ROW, content_type=content_type).status == 200


def test_a_method_that_is_not_allowed_is_told_which_is(numbers):
    assert numbers.request("GET", "/predict").headers["allow"] == "POST"


def test_a_body_above_ten_mebibytes_is_refused_and_the_connection_goes_on(numbers):
    connection = numbers.connect()
    refused = ask(connection, "POST", "/predict", b" " * (11 << 20))
    assert (refused.status, "10485760" in refused.error) == (413, True)
    assert ask(connection, "POST", "/predict", ONE_ROW).status == 200
    connection.close()


def test_a_body_is_counted_while_it_streams_when_no_length_is_declared(numbers):
    connection = numbers.connect()
    chunks = (b" " * (1 << 20) for _ in range(11))
    connection.request("POST", "/predict", chunks, {"content-type": "application/json"}, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    connection.close()


def test_too_many_rows_are_refused_as_too_large(numbers):
    answer = numbers.predict({"rows": [ROW] * 10_001})
    assert (answer.status, answer.error) == (413, "rows: at most 10000 rows a request")


def test_malformed_http_is_answered_in_the_same_form(numbers):
    with socket.create_connection(("127.0.0.1", numbers.port), timeout=10) as raw:
        raw.sendall(b"this is not HTTP\r\n\r\n")
        head, _, body = b"".join(iter(lambda: raw.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert list(json.loads(body)) == ["error"]


def test_pipelined_requests_are_answered_in_order(numbers):
    request = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(ONE_ROW), ONE_ROW)
    with socket.create_connection(("127.0.0.1", numbers.port), timeout=10) as raw:
        raw.sendall(request * 2 + b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.endswith(b'{"live":true}')


def test_a_tensor_model_takes_rows_of_numbers(saved_models, tmp_path):
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("tensor")) as server:
        server.wait_ready()
        answer = server.predict({"rows": [[1, 2, 3, 4], [0.5, -2, 3, 4]]})
        assert answer.status == 200
        assert len(answer.json["predictions"]) == 2
        (maps,) = answer.json["outputs"].values()
        assert list(maps[0]) == ["0", "1"]
        assert "rows[1]" in server.predict({"rows": [[1, 2, 3, 4], [1, 2, 3]]}).error
        assert "rows[0][2]" in server.predict({"rows": [[1, 2, "3", 4]]}).error
        assert "unknown field" in server.predict({"columns": {"a": [1]}}).error


def test_the_pod_is_alive_but_not_ready_while_it_cannot_load(tmp_path):
    """Given a registry that does not answer, when the pod starts, then it is live, not ready, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with serving(tmp_path, MLFLOW_TRACKING_URI=url) as server:
            assert server.request("GET", "/livez").status == 200
            assert server.request("GET", "/readyz").status == 503
            assert server.predict({"rows": [ROW]}).status == 503
            assert server.request("GET", "/version").json["digest"] is None
            server.terminate()  # what was never ready has nothing to drain
            assert server.exit_code(30) == 0
