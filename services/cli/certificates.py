"""The certificate by which the servers of a NATS cluster know each other: one for all of them, its own authority."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.cli.embedded.credentials import write_private

_LIFE = timedelta(days=3650)
_CERTIFICATE, _KEY = "cluster.crt", "cluster.key"


def ensure_certificate(directory: Path, hosts: tuple[str, ...]) -> tuple[Path, Path]:
    """Certificate and key in `directory`, made once for these DNS names. Raises OSError."""
    certificate, key = directory / _CERTIFICATE, directory / _KEY
    if not (certificate.exists() and key.exists()):
        private = ec.generate_private_key(ec.SECP256R1())
        encoded = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(key, encoded)
        write_private(certificate, _self_signed(private, hosts).public_bytes(Encoding.PEM))
    return certificate, key


def _self_signed(key: ec.EllipticCurvePrivateKey, hosts: tuple[str, ...]) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dragoman-nats")])
    now = datetime.now(UTC)
    both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(both_ends), critical=False)
        .sign(key, hashes.SHA256())
    )
