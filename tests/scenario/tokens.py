"""Keys and tokens of the scenarios' own, so that any claim can be made.

Honest tokens have iss, sub, jti and exp; a scenario replaces or removes
members (None removes) and chooses header or footer at will.
"""
import base64
import datetime
import itertools
import json
import struct
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCOPES = {
    "schedule": "consciousness.simulation.schedule",
    "collect": "consciousness.simulation.collect",
    "inbox": "memory.inbox.dreams.write",
}
ALL = ("schedule", "collect", "inbox")
serial = itertools.count(1)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def rfc3339(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def pae(*pieces):
    out = struct.pack("<Q", len(pieces))
    for piece in pieces:
        out += struct.pack("<Q", len(piece)) + piece
    return out


class Key:
    def __init__(self, kid):
        self.kid = kid
        self.private = Ed25519PrivateKey.generate()

    def public_bytes(self):
        return self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def private_bytes(self):
        return self.private.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )

    def jwk(self, **members):
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": b64(self.public_bytes()), **members}

    def paseto(self, payload, footer=...):
        message = payload if isinstance(payload, bytes) else compact(payload)
        footer = compact({"kid": self.kid}) if footer is ... else footer
        header = b"v4.public."
        signature = self.private.sign(pae(header, message, footer, b""))
        token = header.decode() + b64(message + signature)
        return token + "." + b64(footer) if footer else token

    def jwt(self, payload, header=...):
        header = {"alg": "EdDSA", "typ": "JWT", "kid": self.kid} if header is ... else header
        header = header if isinstance(header, bytes) else compact(header)
        payload = payload if isinstance(payload, bytes) else compact(payload)
        signed = b64(header) + "." + b64(payload)
        return signed + "." + b64(self.private.sign(signed.encode()))


def claims(form, granted=ALL, ttl_s=3600, **changes):
    """A payload. Times (exp, nbf, iat, auth_time) are given in seconds, absolute."""
    now = time.time()
    payload = {
        "iss": "scenarios",
        "sub": "tester",
        "jti": f"t-{next(serial)}-{int(now * 1000)}",
        "exp": now + ttl_s,
        "scope": " ".join(SCOPES.get(s, s) for s in granted),
    }
    payload.update(changes)
    payload = {name: value for name, value in payload.items() if value is not None}
    for name in ("exp", "nbf", "iat", "auth_time"):
        if isinstance(payload.get(name), (int, float)) and not isinstance(payload[name], bool):
            payload[name] = int(payload[name]) if form == "jwt" else rfc3339(payload[name])
    return payload


class Minter:
    """mint(...) -> token, from one key; form is "paseto" or "jwt"."""

    def __init__(self, key):
        self.key = key

    def __call__(self, *scopes, form="paseto", **changes):
        payload = claims(form, scopes or ALL, **changes)
        return self.key.jwt(payload) if form == "jwt" else self.key.paseto(payload)

    def stepped_up(self, *scopes, auth_time=None, **changes):
        return self(*scopes, acr="gtpsi", auth_time=time.time() if auth_time is None else auth_time, **changes)


def keyring(*jwks):
    return json.dumps({"keys": list(jwks)})
