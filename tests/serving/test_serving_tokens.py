"""Whose a token is, and which ones are refused, as tables and properties; and the files of keys behind that."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from signed_tokens import CLAIMS, PRIVATE, in_an_hour, pem, token

from millgate_serving import protection, tokens
from millgate_serving.refusal import Refusal

RULES = protection.TokenRules(None, audience="fraud", issuer="https://issuer", scope="predict")


def jwk(algorithm: str, **fields: str) -> dict:
    maker = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}.get(
        algorithm, jwt.algorithms.OKPAlgorithm
    )
    return json.loads(maker.to_jwk(PRIVATE[algorithm].public_key())) | fields


@pytest.fixture(scope="module")
def all_keys(tmp_path_factory):
    file = tmp_path_factory.mktemp("tokens") / "keys.pem"
    file.write_bytes(b"\n".join(pem(algorithm) for algorithm in PRIVATE))
    return tokens.read(file)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_a_token_that_a_known_key_signed_tells_the_client(all_keys, algorithm):
    assert tokens.Tokens(RULES, all_keys).client_of(token(algorithm), time.time()) == "shop"


def unsigned() -> bytes:
    parts = [{"alg": "none", "typ": "JWT"}, CLAIMS | {"exp": in_an_hour()}]
    return b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts) + b"."


def signed_with_the_public_key() -> bytes:
    """The oldest trick: the verifier's public key as the secret of a symmetric signature."""
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256"}, CLAIMS | {"exp": in_an_hour()})
    )
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(header + b"." + payload, pem("RS256"))
    return header + b"." + payload + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")


def foreign() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(CLAIMS | {"exp": in_an_hour()}, key, "ES256").encode()


BAD_TOKENS = [
    ("expired", lambda: token(exp=int(time.time()) - 60), 401, "has expired"),
    ("not yet", lambda: token(nbf=in_an_hour()), 401, "not valid yet"),
    ("another audience", lambda: token(aud="churn"), 401, "another audience"),
    ("another issuer", lambda: token(iss="https://other"), 401, "another issuer"),
    ("without expiry", lambda: token(exp=None), 401, "needs the claims"),
    ("without subject", lambda: token(sub=None), 401, "needs the claims"),
    ("without audience", lambda: token(aud=None), 401, "needs the claims"),
    ("without scope", lambda: token(scope="read"), 403, "needs the scope 'predict'"),
    ("unsigned", unsigned, 401, "unknown key"),
    ("signed with the public key", signed_with_the_public_key, 401, "unknown key"),
    ("signed by somebody else", foreign, 401, "not valid"),
    ("changed", lambda: token()[:-4] + b"AAAA", 401, "not valid"),
    ("no token", lambda: b"eyJ.nonsense", 401, "not valid"),
    ("not ASCII", lambda: b"\xff\xfe", 401, "not valid"),
    ("empty", lambda: b"", 401, "not valid"),
]


@pytest.mark.parametrize("case", BAD_TOKENS, ids=[case[0] for case in BAD_TOKENS])
def test_a_token_that_is_not_good_is_refused_with_the_reason(all_keys, case):
    _, make, status, says = case
    with pytest.raises(Refusal) as refusal:
        tokens.Tokens(RULES, all_keys).client_of(make(), time.time())
    assert refusal.value.status == status
    assert says in refusal.value.message
    assert refusal.value.headers[0][0] == b"www-authenticate"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_is_sent_as_a_token_is_refused_and_nothing_else(sent):
    known = (tokens.Key("", PRIVATE["ES256"].public_key(), ("ES256",)),)
    with pytest.raises(Refusal):
        tokens.Tokens(RULES, known).client_of(b"eyJ" + sent, 0)


def test_a_token_is_remembered_until_it_expires_and_not_longer(all_keys):
    verifier = tokens.Tokens(RULES, all_keys, most_remembered=2)
    expires_at = int(time.time()) - 1  # within the leeway now, and no longer in a moment
    sent = token(exp=expires_at)
    assert verifier.client_of(sent, time.time()) == "shop"
    assert verifier.client_of(sent, expires_at + tokens.LEEWAY_SECONDS - 1) == "shop"
    for number in range(5):
        verifier.client_of(token(jti=str(number)), time.time())
    assert len(verifier._remembered) == 2


def test_a_key_set_names_keys_and_what_they_are_for(tmp_path):
    file = tmp_path / "jwks.json"
    entries = [jwk("RS256", kid="a", alg="RS256"), jwk("ES256", kid="b"), jwk("EdDSA", kid="c", use="enc")]
    file.write_text(json.dumps({"keys": entries}))
    known = tokens.read(file)
    assert [(key.name, key.algorithms[0]) for key in known] == [("a", "RS256"), ("b", "ES256")]
    verifier = tokens.Tokens(RULES, known)
    assert verifier.client_of(token("RS256", {"kid": "a"}), time.time()) == "shop"
    with pytest.raises(Refusal, match="unknown key"):
        verifier.client_of(token("RS256", {"kid": "b"}), time.time())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither PEM nor"),
        (b"[]", "neither PEM nor"),
        (b'{"keys": []}', "no public key"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "only public keys"),
        (b'{"keys": [{"kty": "EC"}]}', "cannot be read"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "PEM block 1 cannot be read"),
    ],
)
def test_a_keys_file_for_tokens_that_is_wrong_is_told(tmp_path, content, says):
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        tokens.read(file)


def test_a_private_key_is_not_accepted_where_a_public_one_belongs(tmp_path):
    file = tmp_path / "keys"
    file.write_bytes(PRIVATE["ES256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="private key"):
        tokens.read(file)
