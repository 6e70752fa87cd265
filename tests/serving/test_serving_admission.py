"""Who may ask and how often, as tables and properties; and the files that say so, which change while a server runs."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signed_tokens import pem, token

from millgate_serving import keys, protection
from millgate_serving.admission import Admission
from millgate_serving.failure import ServingError
from millgate_serving.overload import Overload
from millgate_serving.rate import Rate
from millgate_serving.refusal import Refusal

KEY = "0123456789abcdef-shop"
OTHER_KEY = "0123456789abcdef-bank"
HASHED = "sha256:" + hashlib.sha256(OTHER_KEY.encode()).hexdigest()

# API keys


def test_a_key_belongs_to_a_client_and_may_be_kept_as_its_hash(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# who may ask\n\nshop {KEY}\n  bank\t{HASHED}\r\nshop another-key-of-the-shop\n")
    known = keys.read(file)
    assert keys.client_of(known, KEY.encode()) == "shop"
    assert keys.client_of(known, OTHER_KEY.encode()) == "bank"
    assert keys.client_of(known, b"another-key-of-the-shop") == "shop"
    for nobodys in (b"", KEY.encode()[:-1], HASHED.encode(), KEY.upper().encode(), b"\xff"):
        assert keys.client_of(known, nobodys) is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("shop", "a line is 'client key'"),
        (f"shop {KEY} extra", "a line is 'client key'"),
        ("shop short", "at least 16 characters"),
        ("shop sha256:abc", "64 hexadecimal digits"),
        (f"{'x' * 65} {KEY}", "at most 64 characters"),
        ("shöp 0123456789abcdef", "only ASCII"),
        (f"bank {KEY}", "two clients have the same key"),
    ],
)
def test_a_keys_file_that_is_wrong_is_told_by_its_line_and_never_repeated(tmp_path, line, says):
    file = tmp_path / "keys"
    file.write_text(f"shop {KEY}\n{line}\n")
    with pytest.raises(ValueError, match="line 2: ") as error:
        keys.read(file)
    assert says in str(error.value)
    assert KEY not in str(error.value)


# Rates


@settings(deadline=None)
@given(
    per_second=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 1), max_size=200),
)
def test_no_client_gets_more_than_its_burst_and_its_rate(per_second, burst, steps):
    rate, now, admitted = Rate(per_second, burst), 0.0, 0
    for step in steps:
        now += step
        wait = rate.wait_seconds("shop", now)
        admitted += wait == 0
        assert admitted <= burst + now * per_second + 1e-3
        if wait:
            assert rate.wait_seconds("shop", now + wait) == 0, "what is told is when it may come back"
            now, admitted = now + wait, admitted + 1


@settings(deadline=None)
@given(st.floats(0.1, 1000), st.integers(1, 50), st.floats(1, 1e8))
def test_a_client_that_keeps_to_its_rate_is_never_refused(per_second, burst, begin):
    rate = Rate(per_second, burst)
    assert not any(rate.wait_seconds("shop", begin + number / per_second * 1.000001) for number in range(100))


def test_one_client_does_not_use_up_the_rate_of_another():
    rate = Rate(1, 2)
    assert [rate.wait_seconds("shop", 0) for _ in range(3)] == [0, 0, 1]
    assert rate.wait_seconds("bank", 0) == 0


def test_clients_without_number_need_no_memory_without_bound():
    rate = Rate(1, 1, most_clients=100)
    for number in range(10_000):
        rate.wait_seconds(str(number), 0)
        rate.wait_seconds("regular", 0)
    assert len(rate) <= 100
    assert rate.wait_seconds("regular", 0) == 1, "who is seen often is not forgotten"


# All of it together


def scope(**fields: object) -> dict:
    state = {"crowded": False}
    return {"client": ("10.0.0.1", 5000), "scheme": "http", "state": state} | fields


def admission(environment: dict[str, object], now: float = 0.0) -> Admission:
    read = protection.read({name: str(value) for name, value in environment.items()})
    return Admission(read, Overload(lambda: 0.0), lambda: now)


def refused(asked: Admission, headers: dict, **fields: object) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        asked.admit(scope(**fields), headers)
    return refusal.value.status, refusal.value.message


def test_nobody_is_asked_where_nothing_is_configured():
    assert admission({}).admit(scope(), {b"authorization": b"Basic eDp5"}) == ""


def test_a_key_is_taken_from_either_header(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"shop {KEY}\n")
    asked = admission({"MILLGATE_API_KEYS_FILE": file})
    for headers in ({b"x-api-key": KEY.encode()}, {b"authorization": b"bearer  " + KEY.encode()}):
        assert asked.admit(scope(), headers) == "shop"
    assert refused(asked, {}) == (
        401,
        "credentials are needed: an API key as 'authorization: Bearer …' or 'x-api-key: …'",
    )
    for headers in ({b"x-api-key": b"wrong"}, {b"authorization": b"Bearer eyJwrong"}):
        assert refused(asked, headers) == (401, "the API key is not known")
    assert refused(asked, {b"authorization": b"Basic " + KEY.encode()})[0] == 401


def test_keys_and_tokens_go_together(tmp_path):
    (tmp_path / "keys").write_text(f"shop {KEY}\n")
    (tmp_path / "pem").write_bytes(pem("ES256"))
    asked = admission(
        {
            "MILLGATE_API_KEYS_FILE": tmp_path / "keys",
            "MILLGATE_JWT_KEYS_FILE": tmp_path / "pem",
            "MILLGATE_JWT_AUDIENCE": "fraud",
        }
    )
    assert asked.admit(scope(), {b"authorization": b"Bearer " + KEY.encode()}) == "shop"
    assert asked.admit(scope(), {b"authorization": b"Bearer " + token(sub="robot")}) == "robot"
    assert refused(asked, {b"x-api-key": token()}) == (401, "the API key is not known")


def test_changed_files_are_read_again_and_broken_ones_are_not(tmp_path):
    """As Kubernetes changes a Secret: a symbolic link moves to another folder."""
    for name, content in (("one", f"shop {KEY}\n"), ("two", f"bank {OTHER_KEY}\n"), ("three", "bank short\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text(content)
    data = tmp_path / "data"

    def swap(name: str) -> None:
        link = tmp_path / "new"
        link.symlink_to(tmp_path / name)
        link.replace(data)

    swap("one")
    asked = admission({"MILLGATE_API_KEYS_FILE": data / "keys"})
    swap("two")
    assert asked.admit(scope(), {b"x-api-key": KEY.encode()}) == "shop", "not before it is looked at"
    asked.refresh()
    assert refused(asked, {b"x-api-key": KEY.encode()})[0] == 401
    assert asked.admit(scope(), {b"x-api-key": OTHER_KEY.encode()}) == "bank"
    swap("three")
    asked.refresh()
    data.unlink()
    asked.refresh()
    assert asked.admit(scope(), {b"x-api-key": OTHER_KEY.encode()}) == "bank"


def test_a_client_that_asks_too_often_is_told_when_to_come_back():
    asked = admission({"MILLGATE_RATE_PER_SECOND": 0.5, "MILLGATE_RATE_BURST": 2})
    for _ in range(2):
        asked.admit(scope(), {})
    with pytest.raises(Refusal) as refusal:
        asked.admit(scope(), {})
    assert (refusal.value.status, refusal.value.headers) == (429, ((b"retry-after", b"2"),))
    asked.admit(scope(client=("10.0.0.2", 5000)), {})  # another address is another client where nobody is asked


def test_a_deadline_that_cannot_be_read_is_refused():
    for wish in (b"", b"0", b"-1", b"1.5", b"1s", b"1" * 10, b"\xd9\xa1"):
        assert refused(admission({}), {b"x-request-timeout-ms": wish})[0] == 400
    admission({}).admit(scope(), {b"x-request-timeout-ms": b"250"})


def test_with_certificates_predictions_need_https(tmp_path):
    files = {"MILLGATE_TLS_CERTIFICATE_FILE": tmp_path / "crt", "MILLGATE_TLS_KEY_FILE": tmp_path / "key"}
    assert refused(admission(files), {}) == (403, "predictions are answered over https only")
    admission(files).admit(scope(scheme="https"), {})


WRONG = [
    ({"MILLGATE_RATE_PER_SECOND": "-1"}, "MILLGATE_RATE_PER_SECOND must be a number from 0 to 1e+06"),
    ({"MILLGATE_RATE_BURST": "0"}, "MILLGATE_RATE_BURST must be a number from 1 to 1e+06"),
    ({"MILLGATE_CONCURRENCY": "0"}, "MILLGATE_CONCURRENCY must be a number from 1 to 256"),
    ({"MILLGATE_JWT_KEYS_FILE": "/x"}, "MILLGATE_JWT_KEYS_FILE needs MILLGATE_JWT_AUDIENCE"),
    ({"MILLGATE_TLS_KEY_FILE": "/x"}, "must be set together"),
    ({"MILLGATE_API_KEYS_FILE": "/nowhere/keys"}, "API keys: cannot read /nowhere/keys: No such file"),
]


@pytest.mark.parametrize(("environment", "says"), WRONG, ids=[next(iter(case[0])) for case in WRONG])
def test_a_setting_that_is_wrong_is_named(environment, says):
    with pytest.raises(ServingError) as error:
        admission(environment)
    assert error.value.reason == "InvalidConfiguration"
    assert says in error.value.message
