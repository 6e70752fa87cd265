"""Keys of each algorithm, and tokens that they have signed."""

import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLAIMS = {"sub": "shop", "aud": "fraud", "iss": "https://issuer", "scope": "read predict"}
PRIVATE = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def in_an_hour() -> int:
    return int(time.time()) + 3600


def token(algorithm: str = "ES256", headers: dict | None = None, **claims: object) -> bytes:
    content = {name: value for name, value in (CLAIMS | {"exp": in_an_hour()} | claims).items() if value is not None}
    return jwt.encode(content, PRIVATE[algorithm], algorithm, headers).encode()


def pem(algorithm: str) -> bytes:
    return PRIVATE[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
