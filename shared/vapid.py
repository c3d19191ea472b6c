"""VAPID keys (RFC 8292): the P-256 key by which an installation identifies itself to push services. As texts, keys are
base64url without padding. A private key has 32 bytes, and a public key is an uncompressed point of 65 bytes."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.base64url import decode, encode

_CURVE = ec.SECP256R1()
_PRIVATE_BYTES = 32


def make_key() -> str:
    number = ec.generate_private_key(_CURVE).private_numbers().private_value
    return encode(number.to_bytes(_PRIVATE_BYTES))


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """The private key in a text. Raises ValueError."""
    data = decode(text)
    if len(data) != _PRIVATE_BYTES:
        raise ValueError("is no private key of 32 bytes")
    return ec.derive_private_key(int.from_bytes(data), _CURVE)


def public_point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of an encoded point. Raises ValueError unless the point is on the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)


def public_text(private: str) -> str:
    """The public key that belongs to a private key, as text. Raises ValueError."""
    return encode(public_point(private_key(private).public_key()))
