"""Stopping and ageing: promise by promise, what clients of a pod that goes away see."""

import json
import threading
import time

from serving_load import Load
from serving_process import ask, eventually, serving

ROW = {"a": 1.0, "b": -2.0, "c": 0.5, "d": 3}
ONE_ROW = json.dumps({"rows": [ROW]}).encode()


def test_no_request_is_lost_when_a_server_is_stopped_under_load(saved_models, tmp_path):
    """Given kept-alive and fresh clients, when SIGTERM comes, then all are answered, told to go, and the exit is 0."""
    drain_seconds = 3
    variables = {"MILLGATE_DRAIN_SECONDS": drain_seconds, "MILLGATE_MODEL_PATH": saved_models("numbers")}
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        with Load(server, ONE_ROW, kept_alive=4, fresh=4) as load:
            eventually(lambda: len(load.answers) > 200)
            server.terminate()
            terminated_at = time.monotonic()
            eventually(lambda: server.request("GET", "/readyz").status == 503, seconds=drain_seconds)
            noticed_at = time.monotonic()
            assert server.request("GET", "/livez").status == 200
            time.sleep(drain_seconds / 2)  # the world takes its time to turn away; that is what the drain is for
            load.leave_service()
            assert server.exit_code(drain_seconds + 30) == 0
        ended_after = time.monotonic() - terminated_at

        assert load.lost == []
        assert {status for _, status, _ in load.answers} == {200}
        late = [closes for asked_at, _, closes in load.answers if asked_at > noticed_at]
        assert len(late) > 100
        assert all(late), "every answer to what was asked after SIGTERM must end its connection"
        assert drain_seconds <= ended_after < drain_seconds + 20


def test_an_idle_kept_alive_connection_is_answered_and_closed_during_the_drain(saved_models, tmp_path):
    variables = {"MILLGATE_DRAIN_SECONDS": 5, "MILLGATE_MODEL_PATH": saved_models("numbers")}
    with serving(tmp_path, **variables) as server:
        connection = server.wait_ready().connect()
        assert not ask(connection, "POST", "/predict", ONE_ROW).closes
        server.terminate()
        server.event("draining")
        answer = ask(connection, "POST", "/predict", ONE_ROW)
        assert (answer.status, answer.closes) == (200, True)
        connection.close()


def test_a_scikit_learn_model_finishes_its_slow_request_after_sigterm(saved_models, tmp_path):
    """The one server with the slow flavour: what it answers, how it fails, and that its thread blocks nobody."""
    variables = {"MILLGATE_MODEL_PATH": saved_models("sleepy"), "MILLGATE_ALLOW_CODE_EXECUTION": "true"}
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        assert server.predict({"rows": [{"seconds": 0, "name": None}]}).status == 400
        assert server.predict({"rows": [{"seconds": 0.0, "name": "x"}] * 2}).json["predictions"] == [1, 1]
        assert server.predict({"rows": [{"seconds": -1, "name": "x"}]}).error == "the model failed to answer"
        assert "cannot sleep" not in str(server.events)
        slow = {"rows": [{"seconds": 0.05, "name": "x"}]}
        for _ in range(8):  # the server learns that this model is slow and moves it off the event loop
            assert server.predict(slow).status == 200

        answers = []
        slow["rows"][0]["seconds"] = 4
        client = threading.Thread(target=lambda: answers.append(server.predict(slow)))
        client.start()
        eventually(lambda: server.samples()["millgate_inflight_requests", ""] == 1)
        assert server.request("GET", "/readyz").status == 200
        assert not answers, "a probe waited for the model"
        server.terminate()
        assert server.exit_code(60) == 0
        client.join()
        assert answers[0].status == 200


def test_a_connection_is_told_to_close_once_it_is_old(saved_models, tmp_path):
    """Kept-alive connections would pin clients to a pod; at the maximum age, give or take a tenth, they end."""
    variables = {"MILLGATE_MAX_CONNECTION_AGE_SECONDS": 1, "MILLGATE_MODEL_PATH": saved_models("numbers")}
    with serving(tmp_path, **variables) as server:
        connection = server.wait_ready().connect()
        started, answers = time.monotonic(), []
        while not answers or not answers[-1].closes:
            answers.append(ask(connection, "POST", "/predict", ONE_ROW))
            assert time.monotonic() - started < 10
        assert time.monotonic() - started >= 0.9
        assert {answer.status for answer in answers} == {200}
        assert len(answers) > 10
        connection.close()
