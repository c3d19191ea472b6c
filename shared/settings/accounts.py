"""Accounts: verification, mails, passwords and tokens, grants of auth, notices of the operator."""

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from shared.setting_types import OptionalHost, SettingsSection


class VerificationSettings(SettingsSection):
    """Verification of e-mail addresses (v2: 13, 14, 15)."""

    registration: bool = Field(False, description="every registration must be verified")
    after_failed_logins: int = Field(0, ge=0, description="verify a login after so many failed ones; 0: never")
    time_limit_seconds: float = Field(600.0, gt=0, description="life of a mailed link or ticket")
    confirm_button: bool = Field(
        True, description="a mailed link shows a button that verifies; false: opening the link does"
    )


class MailSettings(SettingsSection):
    """Mail: to an SMTP server if `smtp_host` is set, else to files in `outbox`, else to nobody."""

    smtp_host: OptionalHost = Field("", description="mail server; empty: files in `outbox`")
    smtp_port: int = Field(587, ge=1, le=65535, description="of the mail server")
    smtp_user: str = Field("", description="empty: no login")
    smtp_password: SecretStr = Field(SecretStr(""), description="of `smtp_user`")
    smtp_security: str = Field("starttls", pattern="^(starttls|tls|none)$", description="starttls, tls or none")
    smtp_timeout_seconds: float = Field(10.0, gt=0, description="then the mail is retried later")
    sender: str = Field("Dragoman <no-reply@localhost>", description="From of every mail")
    outbox: Path = Field(
        Path(".dragoman/outbox"), description="directory of mails as .eml files; empty, without `smtp_host`: no mails"
    )

    @property
    def is_on(self) -> bool:
        """Whether mails go anywhere. An empty path is that of the working directory."""
        return bool(self.smtp_host) or self.outbox != Path()


class AuthSettings(SettingsSection):
    keys: Path = Field(Path(".dragoman/keys"), description="directory of Ed25519 private keys, <kid>.pem")
    issuer: str = Field("dragoman", description="`iss` of tokens")
    audience: str = Field("dragoman", description="`aud` of tokens")
    legacy_token_days: float = Field(30.0, gt=0, description="life of tokens that are never refreshed")
    access_token_minutes: float = Field(
        60.0, gt=0, description="life of tokens that are refreshed; never longer than `auth.legacy_token_days`"
    )
    refresh_token_days: float = Field(
        60.0, gt=0, description="life of a refresh token; a login that is not refreshed for so long ends"
    )
    refresh_grace_seconds: float = Field(
        60.0, ge=0, le=600, description="a refresh token that comes back so soon gets the same successor again"
    )
    bot_token_days: float = Field(
        365.0, gt=0, description="life of a bot's token, at most; a signing key is needed so long after the next one"
    )
    hash_threads: int = Field(2, ge=1, description="argon2 hashes at the same time")
    hash_queue: int = Field(256, ge=1, description="logins waiting for a hash; more are rejected as unavailable")
    argon2_memory_kib: int = Field(19_456, ge=8, description="memory of one password hash")
    argon2_iterations: int = Field(2, ge=1, description="passes of one password hash")
    password_min_characters: int = Field(
        0, ge=0, le=128, description="of a new plain password; clients may send hashes, of which nothing is known"
    )
    sessions_per_account: int = Field(
        0, ge=0, description="logins of an account at once; a further one ends the oldest; 0: any number"
    )
    refuse_common_passwords: bool = Field(False, description="new plain passwords must not be among the most common")
    audit_days: float = Field(90.0, gt=0, description="life of entries in the audit trail (`dragoman admin audit`)")
    recovery: bool = Field(True, description="accounts can be recovered by the answer to a security question")
    mail_recovery: str = Field(
        "verified",
        pattern="^(verified|any|off)$",
        description="accounts that can be recovered by a mailed ticket: verified (their address is), any (with an "
        "address) or off",
    )
    lobby: bool = Field(True, description="v0 accounts belong to the public lobby, chat 1")


class CalloutSettings(SettingsSection):
    """For auth: it grants each process of an edge the subjects of its own node (`dragoman secrets --edges`)."""

    key: SecretStr = Field(
        SecretStr(""), description="64 hexadecimal digits; signs grants for nats-server; empty: none are given"
    )
    edge_password_sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="of the random password that all edges share"
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch("([0-9a-f]{64})?", value.get_secret_value()):
            raise ValueError("callout.key should be 64 hexadecimal digits")
        return value


class NoticesSettings(SettingsSection):
    """Notices of the operator to users (`dragoman admin notice`)."""

    name: str = Field(
        "Dragoman",
        pattern=r"^[^\s\p{C}|]([^\p{C}|]{0,62}[^\s\p{C}|])?$",
        description="nickname of the system account that sends them",
    )
