"""Settings of accounts: verification, mails, passwords and tokens, grants of NATS subjects, announcements of the
operator."""

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from shared.setting_types import OptionalHost, SettingsSection, SystemName


class VerificationSettings(SettingsSection):
    """Verification of e-mail addresses (commands 13, 14 and 15 of v2)."""

    registration: bool = Field(False, description="every new account must verify its e-mail address")
    after_failed_logins: int = Field(
        0, ge=0, description="failed logins after which a login needs verification by mail; 0: never"
    )
    time_limit_seconds: float = Field(600.0, gt=0, description="time for which a mailed link or ticket is valid")
    confirm_button: bool = Field(
        True, description="a mailed link opens a page with a button to confirm; false: opening the link confirms"
    )


class MailSettings(SettingsSection):
    """Mails go to an SMTP server if `smtp_host` is set, otherwise into files in `outbox`. If neither is set, no mails
    are sent."""

    smtp_host: OptionalHost = Field("", description="mail server; empty: files in `outbox`")
    smtp_port: int = Field(587, ge=1, le=65535, description="port of the mail server")
    smtp_user: str = Field("", description="user for the mail server; empty: no login")
    smtp_password: SecretStr = Field(SecretStr(""), description="password of `smtp_user`")
    smtp_security: str = Field(
        "starttls", pattern="^(starttls|tls|none)$", description="encryption: starttls, tls or none"
    )
    smtp_timeout_seconds: float = Field(
        10.0, gt=0, description="time limit for a reply of the mail server; after it, the mail is sent again later"
    )
    sender: str = Field("Dragoman <no-reply@localhost>", description="the From header of every mail")
    outbox: Path = Field(
        Path(".dragoman/outbox"),
        description="directory to which mails are written as .eml files, without `smtp_host`; empty: no mails",
    )

    @property
    def is_on(self) -> bool:
        """Whether mails are sent or written. An empty setting `outbox` becomes `Path()`, which counts as no outbox
        here."""
        return bool(self.smtp_host) or self.outbox != Path()


class AuthSettings(SettingsSection):
    keys: Path = Field(
        Path(".dragoman/keys"), description="directory of the private Ed25519 keys that sign tokens, <kid>.pem"
    )
    issuer: str = Field("dragoman", description="the claim `iss` (issuer) of tokens")
    audience: str = Field("dragoman", description="the claim `aud` (audience) of tokens")
    legacy_token_days: float = Field(30.0, gt=0, description="time for which a token without a refresh token is valid")
    access_token_minutes: float = Field(
        60.0, gt=0, description="time for which a token with a refresh token is valid, at most `auth.legacy_token_days`"
    )
    refresh_token_days: float = Field(
        60.0, gt=0, description="how long a refresh token is valid; a login that is not refreshed meanwhile ends"
    )
    refresh_grace_seconds: float = Field(
        60.0,
        ge=0,
        le=600,
        description="time for which the previous refresh token still gets the new one, so that a client may "
        "repeat a lost request",
    )
    bot_token_days: float = Field(
        365.0, gt=0, description="how long a bot's token is valid, at most; keep a retired signing key for as long"
    )
    hash_threads: int = Field(2, ge=1, description="passwords hashed at the same time")
    hash_queue: int = Field(
        256, ge=1, description="logins that wait for a password hash; more are rejected as unavailable"
    )
    argon2_memory_kib: int = Field(19_456, ge=8, description="memory for one password hash")
    argon2_iterations: int = Field(2, ge=1, description="iterations of one password hash")
    password_min_characters: int = Field(
        0, ge=0, le=128, description="shortest new password; not checked for clients that send only a hash of it"
    )
    sessions_per_account: int = Field(
        0, ge=0, description="logins of an account at the same time; one more ends the oldest; 0: any number"
    )
    refuse_common_passwords: bool = Field(
        False, description="reject new passwords that are very common; not checked for clients that send only a hash"
    )
    audit_days: float = Field(
        90.0, gt=0, description="time for which entries of the audit trail (`dragoman admin audit`) are stored"
    )
    recovery: bool = Field(True, description="users can recover an account by the answer to its security question")
    mail_recovery: str = Field(
        "verified",
        pattern="^(verified|any|off)$",
        description="which accounts can be recovered by mail: verified (those with a verified address), any (with an "
        "address) or off",
    )
    lobby: bool = Field(True, description="accounts that ourchat-v0 clients register join the public lobby, chat 1")

    @property
    def refresh_seconds(self) -> float:
        return self.refresh_token_days * 86_400


class CalloutSettings(SettingsSection):
    """Auth gives each edge NATS permissions for the subjects of its own node only."""

    key: SecretStr = Field(
        SecretStr(""),
        description="key that signs the permissions of edges for nats-server, 64 hexadecimal digits; empty: none",
    )
    edge_password_sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="SHA-256 hash of the random NATS password that all edges share"
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch("([0-9a-f]{64})?", value.get_secret_value()):
            raise ValueError("callout.key must be 64 hexadecimal digits")
        return value


class AnnouncementSettings(SettingsSection):
    """Announcements of the operator to users (`dragoman admin announce`)."""

    name: SystemName = Field("Dragoman", description="nickname of the system account that sends announcements")
