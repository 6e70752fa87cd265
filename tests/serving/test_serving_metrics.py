"""The series that gates read: there from the start, and counting exactly what happened on /predict."""

from serving_process import serving

CODES = {"200", "400", "401", "403", "405", "408", "413", "415", "429", "500", "503", "504"}
ROW = {"amount": 1.0, "items": 2, "country": "DE"}
LATENCY = "millgate_request_duration_seconds"


def test_a_model_that_raises_on_a_slice_is_counted_as_server_errors_and_nothing_else_is(saved_models, tmp_path):
    """Given a model that does not know one country, when clients send it, then only those requests are errors."""
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("mixed")) as server:
        server.wait_ready()
        before = server.samples()
        assert {code for name, code in before if name == "millgate_requests_total"} == CODES
        assert all(value == 0 for (name, _), value in before.items() if name.startswith("millgate_request"))

        for _ in range(5):
            assert server.predict({"rows": [ROW]}).status == 200
        for _ in range(3):
            failed = server.predict({"rows": [ROW | {"country": "Atlantis"}]})
            assert (failed.status, failed.error) == (500, "the model failed to answer")
        assert server.predict({"rows": [ROW | {"items": "two"}]}).status == 400
        server.request("GET", "/readyz")

        after = server.samples()
        assert after["millgate_requests_total", "200"] == 5
        assert after["millgate_requests_total", "500"] == 3
        assert after["millgate_requests_total", "400"] == 1
        assert after["millgate_request_errors_total", ""] == 3
        assert after[f"{LATENCY}_count", ""] == after[f"{LATENCY}_bucket", "+Inf"] == 9
        assert after["millgate_inflight_requests", ""] == 0
        assert after["millgate_model_load_seconds", ""] > 0
        assert server.event("model failed")["exception"].startswith("onnxruntime.")
        assert "Atlantis" not in str(server.events), "a payload got into the log"


def test_every_series_carries_model_version_and_revision(numbers):
    text = numbers.request("GET", "/metrics").body.decode()
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert series
    assert all('model="fraud",version="8",revision="r0000001"' in line for line in series)


def test_latency_buckets_are_cumulative_and_end_with_the_count(numbers):
    numbers.predict({"rows": [{"a": 1, "b": 1, "c": 1, "d": 1}]})
    buckets = [(float(le), n) for (name, le), n in numbers.samples().items() if name == f"{LATENCY}_bucket"]
    counts = [count for _, count in sorted(buckets)]
    assert counts == sorted(counts)
    assert [edge for edge, _ in sorted(buckets)][:4] == [0.001, 0.0025, 0.005, 0.01]
    assert len(buckets) == 14
