"""Makes the certificates for connections within an installation. The routes of a NATS cluster use one self-signed
certificate. For the clients of the servers, there is a certificate authority, which signs a certificate for each
server."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.atomic_file import write_private

CA = "ca.crt"
_CA_KEY = "ca.key"
SERVER, CLIENT = "server", "client"
"""The names of the certificate files at both ends of a connection: <name>.crt and <name>.key."""
_ROUTES = "cluster"
_LIFE = timedelta(days=3650)
_SOON = timedelta(days=14)
_SERVER_USE, _CLIENT_USE = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_USE = {SERVER: [_SERVER_USE], CLIENT: [_CLIENT_USE], _ROUTES: [_SERVER_USE, _CLIENT_USE]}


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def ensure(self, directory: Path, hosts: tuple[str, ...], name: str = SERVER) -> None:
        """Make <name>.crt and <name>.key in `directory` for these hosts, unless they exist and fit. A certificate that
        another authority has signed stays, because the operator has provided it. Raises OSError, ValueError."""
        file, key = directory / f"{name}.crt", directory / f"{name}.key"
        if not (file.exists() and key.exists()) or self._is_outdated(file, hosts):
            file.unlink(missing_ok=True)  # an old certificate must not be left with a new key
            private = _write_key(key)
            usage = x509.ExtendedKeyUsage(_USE[name])
            signed = _builder(f"dragoman-{directory.name}", private, self.certificate.subject)
            names = x509.SubjectAlternativeName([_name(host) for host in hosts])
            signed = signed.add_extension(names, critical=False).add_extension(usage, critical=False)
            signed = signed.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            signed = signed.add_extension(identifier, critical=False)
            write_private(file, signed.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _is_outdated(self, file: Path, hosts: tuple[str, ...]) -> bool:
        """Whether this authority signed the certificate, but not for all of these hosts."""
        given = x509.load_pem_x509_certificate(file.read_bytes())
        if given.issuer != self.certificate.subject:
            return False
        names = given.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return not {_name(host) for host in hosts} <= set(names)


def ensure_authority(directory: Path) -> Authority | None:
    """The certificate authority in ca.crt and ca.key, which is made once. Returns None if the operator has provided
    ca.crt without its key. The operator then also provides the servers' certificates. Raises OSError, ValueError."""
    file, key = directory / CA, directory / _CA_KEY
    if file.exists() and not key.exists():
        return None
    if not file.exists():
        private = _write_key(key)
        name = f"dragoman-{x509.random_serial_number():x}"[:32]  # each certificate authority has a name of its own
        signed = _builder(name, private, None)
        signed = signed.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        signed = signed.add_extension(_SIGNS_CERTIFICATES, critical=True)
        write_private(file, signed.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM))
    private_key = load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key} is not an elliptic-curve key")
    return Authority(x509.load_pem_x509_certificate(file.read_bytes()), private_key)


def ensure_route_certificate(directory: Path, hosts: tuple[str, ...]) -> tuple[Path, Path]:
    """Makes a certificate and a key in `directory` for these DNS names, unless both exist. Raises OSError."""
    certificate, key = directory / f"{_ROUTES}.crt", directory / f"{_ROUTES}.key"
    if not (certificate.exists() and key.exists()):
        private = _write_key(key)
        signed = _builder("dragoman-nats", private, None)
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        usage = x509.ExtendedKeyUsage(_USE[_ROUTES])
        signed = signed.add_extension(names, critical=False).add_extension(usage, critical=False)
        write_private(certificate, signed.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM))
    return certificate, key


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def _write_key(file: Path) -> ec.EllipticCurvePrivateKey:
    private = ec.generate_private_key(ec.SECP256R1())
    write_private(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return private


def _builder(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name | None) -> x509.CertificateBuilder:
    """Without an issuer, the certificate is self-signed."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def describe_expiry(file: Path, now: datetime) -> str:
    """Says why a certificate is not valid, or that it expires within two weeks; otherwise, the text is empty. Raises
    OSError, ValueError."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        return f"expired on {ends:%Y-%m-%d}"
    if begins > now:
        return f"is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    return f"expires on {ends:%Y-%m-%d}" if ends - now < _SOON else ""
