"""What a running server lets in: keys, rates, TLS, connections and bodies, as its clients meet them."""

import datetime as dt
import http.client
import json
import shutil
import socket
import ssl
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from serving_process import ask, eventually, serving

ROW = {"a": 1.0, "b": -2.0, "c": 0.5, "d": 3}
ONE_ROW = json.dumps({"rows": [ROW]}).encode()
KEY, NEW_KEY = "0123456789abcdef-shop", "0123456789abcdef-anew"


def test_keys_open_predictions_and_can_be_changed_while_the_server_runs(saved_models, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"shop {KEY}\n")
    variables = {"MILLGATE_MODEL_PATH": saved_models("numbers"), "MILLGATE_API_KEYS_FILE": file}
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        refused = server.predict({"rows": [ROW]})
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert server.request("POST", "/predict", ONE_ROW, authorization="Bearer wrong").status == 401
        assert server.request("POST", "/predict", ONE_ROW, authorization=f"Bearer {KEY}").status == 200
        for path in ("/livez", "/readyz", "/version", "/metrics"):  # the kubelet and Prometheus have no key
            assert server.request("GET", path).status == 200
        replaced = tmp_path / "new"
        replaced.write_text(f"shop {NEW_KEY}\n")
        replaced.replace(file)
        eventually(lambda: server.request("POST", "/predict", ONE_ROW, x_api_key=NEW_KEY).status == 200)
        assert server.request("POST", "/predict", ONE_ROW, x_api_key=KEY).status == 401
        assert KEY not in str(server.events)


def test_a_server_whose_keys_cannot_be_read_says_so_and_serves_nobody(saved_models, tmp_path):
    variables = {"MILLGATE_MODEL_PATH": saved_models("numbers"), "MILLGATE_API_KEYS_FILE": tmp_path / "none"}
    with serving(tmp_path, **variables) as server:
        assert server.exit_code(60) == 75
        assert server.termination_log()["error"]["reason"] == "InvalidConfiguration"


def test_a_client_that_asks_too_often_is_told_when_to_come_back(saved_models, tmp_path):
    variables = {
        "MILLGATE_MODEL_PATH": saved_models("numbers"),
        "MILLGATE_RATE_PER_SECOND": 0.01,
        "MILLGATE_RATE_BURST": 2,
    }
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        assert [server.predict({"rows": [ROW]}).status for _ in range(3)] == [200, 200, 429]
        assert 90 <= int(server.predict({"rows": [ROW]}).headers["retry-after"]) <= 100
        assert server.request("GET", "/readyz").status == 200


def test_more_connections_than_allowed_are_told_so_and_closed(saved_models, tmp_path):
    variables = {"MILLGATE_MODEL_PATH": saved_models("numbers"), "MILLGATE_MAX_CONNECTIONS": 2}
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        held = [server.connect() for _ in range(2)]
        for connection in held:
            assert ask(connection, "POST", "/predict", ONE_ROW).status == 200
        refused = server.predict({"rows": [ROW]})
        assert (refused.status, refused.headers["retry-after"], refused.closes) == (503, "1", True)
        assert server.request("GET", "/readyz").status == 200, "a probe is always answered"
        held.pop().close()
        eventually(lambda: server.predict({"rows": [ROW]}).status == 200)
        held.pop().close()


def test_headers_without_end_are_not_kept(numbers):
    with socket.create_connection(("127.0.0.1", numbers.port), timeout=20) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\n")
        with suppress(OSError):  # closed before all of it was sent
            for number in range(2000):
                raw.sendall(b"x-%d: %b\r\n" % (number, b"y" * 1000))
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 431 ")
    many = {f"x-{number}": "y" * 1000 for number in range(40)}
    assert numbers.request("POST", "/predict", ONE_ROW, **many).status == 200


def test_an_answer_that_breaks_the_models_own_rule_is_an_error_and_counted(saved_models, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(saved_models("rounds"), model)  # it answers `share` as it came
    (model / "millgate").mkdir()
    rules = {"outputs": {"predictions": {"minimum": 0, "maximum": 1}}}
    (model / "millgate" / "constraints.json").write_text(json.dumps(rules))
    with serving(tmp_path, MILLGATE_MODEL_PATH=model) as server:
        server.wait_ready()
        assert server.predict({"rows": [{"rounds": 1, "share": 0.5}]}).status == 200
        refused = server.predict({"rows": [{"rounds": 1, "share": 0.5}, {"rounds": 1, "share": 7.25}]})
        assert refused.status == 500
        assert refused.error == "the model's answer broke its own rule: predictions must be at most 1"
        text = server.request("GET", "/metrics").body.decode()
        counts = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in text.splitlines()}
        labels = 'model="fraud",version="8",revision="r0000001"'
        assert counts[f'millgate_output_refused_total{{{labels},rule="predictions.maximum"}}'] == "1"
        assert counts[f'millgate_output_refused_total{{{labels},rule="predictions.minimum"}}'] == "0"


def test_the_same_request_is_answered_from_the_cache_by_either_protocol(saved_models, tmp_path):
    variables = {"MILLGATE_MODEL_PATH": saved_models("numbers"), "MILLGATE_CACHE_BYTES": 1 << 20}
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        tensors = [{"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]} for name, value in ROW.items()]
        v2 = json.dumps({"id": "mine", "inputs": tensors}).encode()
        bodies = [("/predict", ONE_ROW), ("/v2/models/fraud/infer", v2)]
        first = [server.request("POST", path, body) for path, body in bodies]
        again = [server.request("POST", path, body) for path, body in bodies]
        assert [answer.status for answer in first] == [200, 200]
        assert first[0].json | {"id": ""} == again[0].json | {"id": ""}
        assert first[0].json["id"] != again[0].json["id"], "the answer is the same, the request is another"
        assert first[1].json == again[1].json
        assert server.predict({"rows": [ROW | {"a": -9.5}]}).json["predictions"] != first[0].json["predictions"]
        assert server.samples()["millgate_answer_cache_hits_total", ""] == 2
        assert server.samples()["millgate_answer_cache_misses_total", ""] == 3


# TLS


def write_certificate(folder, name: str) -> None:
    """Of itself, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    for file, content in (
        ("tls.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ("tls.crt", made.public_bytes(Encoding.PEM)),
    ):
        (folder / "new").write_bytes(content)
        (folder / "new").replace(folder / file)


def trusting(folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "tls.crt")


def secure(server, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection("localhost", server.port, timeout=20, context=context)
    connection.connect()
    return connection


@pytest.fixture
def with_tls(saved_models, tmp_path):
    write_certificate(tmp_path, "first")
    variables = {
        "MILLGATE_MODEL_PATH": saved_models("numbers"),
        "MILLGATE_TLS_CERTIFICATE_FILE": tmp_path / "tls.crt",
        "MILLGATE_TLS_KEY_FILE": tmp_path / "tls.key",
        "MILLGATE_DRAIN_SECONDS": 1,
    }
    with serving(tmp_path, **variables) as server:
        yield server.wait_ready()


def test_with_a_certificate_predictions_are_https_and_probes_are_both(with_tls, tmp_path):
    connection = secure(with_tls, trusting(tmp_path))
    for _ in range(3):
        assert ask(connection, "POST", "/predict", ONE_ROW).status == 200
    assert ask(connection, "GET", "/readyz").status == 200
    connection.close()
    assert with_tls.request("GET", "/readyz").status == 200
    refused = with_tls.predict({"rows": [ROW]})
    assert (refused.status, refused.error) == (403, "predictions are answered over https only")


def test_a_certificate_is_renewed_while_the_server_runs(with_tls, tmp_path):
    """New connections get the new one; those that are there go on."""
    old = secure(with_tls, trusting(tmp_path))
    write_certificate(tmp_path, "second")
    renewed = trusting(tmp_path)

    def is_renewed() -> bool:
        try:
            secure(with_tls, renewed).close()
        except ssl.SSLError:
            return False
        return True

    assert eventually(is_renewed)
    assert ask(old, "POST", "/predict", ONE_ROW).status == 200
    old.close()


def test_what_is_neither_http_nor_tls_hurts_nobody(with_tls, tmp_path):
    silent = socket.create_connection(("127.0.0.1", with_tls.port))
    for nonsense in (b"\x16", b"\x16\x03\x01\x00\xff" + bytes(255), b"\x80\x00", b""):
        with socket.create_connection(("127.0.0.1", with_tls.port), timeout=20) as raw:
            raw.sendall(nonsense)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.deprecated_call():
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)ssl|reset|eof"):
        secure(with_tls, old)
    connection = secure(with_tls, trusting(tmp_path))
    assert ask(connection, "POST", "/predict", ONE_ROW).status == 200
    connection.close()
    silent.close()


def test_a_server_with_tls_drains_like_any_other(with_tls, tmp_path):
    context = trusting(tmp_path)
    connection = secure(with_tls, context)
    assert not ask(connection, "POST", "/predict", ONE_ROW).closes
    with_tls.terminate()
    with_tls.event("draining")
    answer = ask(connection, "POST", "/predict", ONE_ROW)
    assert (answer.status, answer.closes) == (200, True)
    fresh = secure(with_tls, context)
    assert ask(fresh, "POST", "/predict", ONE_ROW).status == 200
    assert with_tls.exit_code(30) == 0


def test_certificate_and_key_must_belong_together(saved_models, tmp_path):
    write_certificate(tmp_path, "first")
    key = (tmp_path / "tls.key").read_bytes()
    write_certificate(tmp_path, "second")
    (tmp_path / "tls.key").write_bytes(key)
    variables = {
        "MILLGATE_MODEL_PATH": saved_models("numbers"),
        "MILLGATE_TLS_CERTIFICATE_FILE": tmp_path / "tls.crt",
        "MILLGATE_TLS_KEY_FILE": tmp_path / "tls.key",
    }
    with serving(tmp_path, **variables) as server:
        assert server.exit_code(60) == 75
        assert "not a certificate and the key" in server.termination_log()["error"]["message"]
