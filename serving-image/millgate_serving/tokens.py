"""JSON Web Tokens, verified with keys from a mounted file: nobody is asked over the network.

A key says which algorithm it is for; the token's own word for it is only compared (RFC 8725, section 3.1). What was
verified once is remembered by the token's hash until it expires, because a signature costs as much as a prediction.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from millgate_serving.protection import TokenRules
from millgate_serving.refusal import Refusal

LEEWAY_SECONDS: Final = 30
MOST_REMEMBERED: Final = 10_000
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LONGEST_CLIENT = 256
_CHALLENGE = ((b"www-authenticate", b'Bearer error="invalid_token"'),)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, its name in tokens (`kid`, empty where it has none) and the algorithms it is for."""

    name: str
    public: Any
    algorithms: tuple[str, ...]


def read(file: Path) -> tuple[Key, ...]:
    """The keys of a JSON Web Key Set, or of PEM blocks of public keys or certificates.

    Raises ValueError. Symmetric keys are refused: who can verify with one can also sign.
    """
    content = file.read_bytes()
    keys = _from_pem(content) if b"-----BEGIN" in content else _from_set(content)
    if not keys:
        raise ValueError("there is no public key for signatures in it")
    return keys


class Tokens:
    """Verifies; `now` is in seconds since 1970."""

    def __init__(self, rules: TokenRules, keys: tuple[Key, ...], most_remembered: int = MOST_REMEMBERED) -> None:
        import jwt  # noqa: PLC0415 - 0.2 s and 12 MiB, only where tokens are used

        self._jwt = jwt
        self._rules = rules
        self._keys = keys
        self._most_remembered = most_remembered
        self._remembered: dict[bytes, tuple[float, str]] = {}

    def client_of(self, token: bytes, now: float) -> str:
        """The token's subject. Raises Refusal 401, or 403 where a token that is good lacks the scope."""
        digest = hashlib.sha256(token).digest()
        known = self._remembered.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        claims = self._verified(token)
        expires_at = float(claims["exp"]) + LEEWAY_SECONDS
        client = str(claims["sub"])[:_LONGEST_CLIENT]
        if self._rules.scope and self._rules.scope not in _scopes(claims):
            challenge = ((b"www-authenticate", b'Bearer error="insufficient_scope"'),)
            raise Refusal(403, f"the token needs the scope '{self._rules.scope}'", challenge, "Forbidden")
        self._remembered[digest] = (expires_at, client)
        if len(self._remembered) > self._most_remembered:
            del self._remembered[next(iter(self._remembered))]
        return client

    def _verified(self, token: bytes) -> dict[str, Any]:
        """PyJWT judges time by the system's clock."""
        jwt, rules = self._jwt, self._rules
        try:
            key = self._key_for(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=list(key.algorithms),
                audience=rules.audience,
                issuer=rules.issuer or None,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud"]},
            )
        except Exception as error:  # noqa: BLE001 - whatever a library says of what a client sent, it is no token
            raise Refusal(401, _explained(error), _CHALLENGE, "Unauthenticated") from None
        return claims

    def _key_for(self, header: dict[str, Any]) -> Key:
        """By name; where the token names none, the only one that its algorithm allows."""
        name = header.get("kid")
        fitting = [key for key in self._keys if header.get("alg") in key.algorithms]
        if name is not None:
            fitting = [key for key in fitting if key.name == name] or [key for key in fitting if not key.name]
        if len(fitting) != 1:
            raise _UnknownKeyError
        return fitting[0]


class _UnknownKeyError(Exception):
    pass


# By the name of PyJWT's exception: what a client can do about it, and nothing of what it sent.
_EXPLANATIONS: Final = {
    "ExpiredSignatureError": "the token has expired",
    "ImmatureSignatureError": "the token is not valid yet",
    "InvalidAudienceError": "the token is for another audience",
    "InvalidIssuerError": "the token is from another issuer",
    "MissingRequiredClaimError": "the token needs the claims exp, sub and aud",
    "_UnknownKeyError": "the token is signed with an unknown key",
}


def _explained(error: Exception) -> str:
    return _EXPLANATIONS.get(type(error).__name__, "the token is not valid")


def _scopes(claims: dict[str, Any]) -> list[str]:
    """`scope` is words in one text (RFC 8693); some issuers write a list, or call it `scp`."""
    value = claims.get("scope", claims.get("scp", ""))
    return value.split() if isinstance(value, str) else value if isinstance(value, list) else []


def _from_set(content: bytes) -> tuple[Key, ...]:
    import jwt  # noqa: PLC0415

    try:
        entries = json.loads(content)["keys"]
    except (ValueError, KeyError, TypeError):
        raise ValueError('neither PEM nor a JSON Web Key Set ({"keys": […]})') from None
    keys = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("kty") == "oct":
            raise ValueError(f"keys[{number}]: only public keys are allowed, none of the kind oct")
        if entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            raise ValueError(f"keys[{number}] cannot be read") from None
        algorithms = (key.algorithm_name,) if "alg" in entry else _algorithms_for(key.key)
        if key.algorithm_name not in _ALGORITHMS:
            raise ValueError(f"keys[{number}]: its algorithm is not allowed; allowed: {', '.join(_ALGORITHMS)}")
        keys.append(Key(str(entry.get("kid", "")), key.key, algorithms))
    return tuple(keys)


def _from_pem(content: bytes) -> tuple[Key, ...]:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    keys = []
    for number, block in enumerate(content.split(b"-----BEGIN ")[1:], 1):
        pem = b"-----BEGIN " + block
        if b"PRIVATE KEY" in pem:
            raise ValueError(f"PEM block {number} is a private key; only public keys belong here")
        read_block: Callable[[bytes], Any] = load_pem_public_key
        if pem.startswith(b"-----BEGIN CERTIFICATE"):
            read_block = _public_of(x509.load_pem_x509_certificate)
        try:
            public = read_block(pem)
        except Exception:  # noqa: BLE001 - the library has many, and each means the same here
            raise ValueError(f"PEM block {number} cannot be read") from None
        keys.append(Key("", public, _algorithms_for(public)))
    return tuple(keys)


def _public_of(load: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    return lambda pem: load(pem).public_key()


def _algorithms_for(public: Any) -> tuple[str, ...]:
    """What a key of this kind can sign; a curve has one algorithm (RFC 7518, section 3.4)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: PLC0415

    if isinstance(public, rsa.RSAPublicKey):
        return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    if isinstance(public, ec.EllipticCurvePublicKey):
        curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
        if public.curve.name in curves:
            return (curves[public.curve.name],)
    if isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return ("EdDSA",)
    raise ValueError("there is a key of a kind that signs no tokens; allowed are RSA, EC and Ed25519")
