"""Settings of accounts: verification, mails, passwords and tokens, grants of NATS subjects, announcements of the
operator."""

import re
from pathlib import Path

from pydantic import SecretStr, field_validator

from shared.setting_types import OptionalHost, SettingsSection, SystemName, setting


class VerificationSettings(SettingsSection):
    """Verification of e-mail addresses (commands 13, 14 and 15 of v2)."""

    registration: bool = setting(False, "every new account must verify its e-mail address")
    after_failed_logins: int = setting(
        0, "failed logins after which a login needs verification by mail; 0: never", ge=0
    )
    time_limit_seconds: float = setting(600.0, "time for which a mailed link or ticket is valid", gt=0)
    confirm_button: bool = setting(
        True, "a mailed link opens a page with a button to confirm; false: opening the link confirms"
    )


class MailSettings(SettingsSection):
    """Mails go to an SMTP server if `smtp_host` is set, otherwise into files in `outbox`. If neither is set, no mails
    are sent."""

    smtp_host: OptionalHost = setting("", "mail server; empty: files in `outbox`")
    smtp_port: int = setting(587, "port of the mail server", ge=1, le=65535)
    smtp_user: str = setting("", "user for the mail server; empty: no login")
    smtp_password: SecretStr = setting(SecretStr(""), "password of `smtp_user`")
    smtp_security: str = setting("starttls", "encryption: starttls, tls or none", pattern="^(starttls|tls|none)$")
    smtp_timeout_seconds: float = setting(
        10.0, "time limit for a reply of the mail server; after it, the mail is sent again later", gt=0
    )
    sender: str = setting("Dragoman <no-reply@localhost>", "the From header of every mail")
    outbox: Path = setting(
        Path(".dragoman/outbox"),
        "directory to which mails are written as .eml files, without `smtp_host`; empty: no mails",
    )

    @property
    def is_on(self) -> bool:
        """Whether mails are sent or written. An empty setting `outbox` becomes `Path()`, which counts as no outbox
        here."""
        return bool(self.smtp_host) or self.outbox != Path()


class AuthSettings(SettingsSection):
    keys: Path = setting(Path(".dragoman/keys"), "directory of the private Ed25519 keys that sign tokens, <kid>.pem")
    issuer: str = setting("dragoman", "the claim `iss` (issuer) of tokens")
    audience: str = setting("dragoman", "the claim `aud` (audience) of tokens")
    legacy_token_days: float = setting(30.0, "time for which a token without a refresh token is valid", gt=0)
    access_token_minutes: float = setting(
        60.0, "time for which a token with a refresh token is valid, at most `auth.legacy_token_days`", gt=0
    )
    refresh_token_days: float = setting(
        60.0, "how long a refresh token is valid; a login that is not refreshed meanwhile ends", gt=0
    )
    refresh_grace_seconds: float = setting(
        60.0,
        "time for which the previous refresh token still gets the new one, so that a client may repeat a lost request",
        ge=0,
        le=600,
    )
    bot_token_days: float = setting(
        365.0, "how long a bot's token is valid, at most; keep a retired signing key for as long", gt=0
    )
    hash_threads: int = setting(2, "passwords hashed at the same time", ge=1)
    hash_queue: int = setting(256, "logins that wait for a password hash; more are rejected as unavailable", ge=1)
    argon2_memory_kib: int = setting(19_456, "memory for one password hash", ge=8)
    argon2_iterations: int = setting(2, "iterations of one password hash", ge=1)
    password_min_characters: int = setting(
        0, "shortest new password; not checked for clients that send only a hash of it", ge=0, le=128
    )
    sessions_per_account: int = setting(
        0, "logins of an account at the same time; one more ends the oldest; 0: any number", ge=0
    )
    refuse_common_passwords: bool = setting(
        False, "reject new passwords that are very common; not checked for clients that send only a hash"
    )
    audit_days: float = setting(
        90.0, "time for which entries of the audit trail (`dragoman admin audit`) are stored", gt=0
    )
    recovery: bool = setting(True, "users can recover an account by the answer to its security question")
    mail_recovery: str = setting(
        "verified",
        "which accounts can be recovered by mail: verified (those with a verified address), any (with an "
        "address) or off",
        pattern="^(verified|any|off)$",
    )
    lobby: bool = setting(True, "accounts that ourchat-v0 clients register join the public lobby, chat 1")

    @property
    def refresh_seconds(self) -> float:
        return self.refresh_token_days * 86_400


class CalloutSettings(SettingsSection):
    """Auth gives each edge NATS permissions for the subjects of its own node only."""

    key: SecretStr = setting(
        SecretStr(""), "key that signs the permissions of edges for nats-server, 64 hexadecimal digits; empty: none"
    )
    edge_password_sha256: str = setting(
        "", "SHA-256 hash of the random NATS password that all edges share", pattern="^([0-9a-f]{64})?$"
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch("([0-9a-f]{64})?", value.get_secret_value()):
            raise ValueError("callout.key must be 64 hexadecimal digits")
        return value


class AnnouncementSettings(SettingsSection):
    """Announcements of the operator to users (`dragoman admin announce`)."""

    name: SystemName = setting("Dragoman", "nickname of the system account that sends announcements")
