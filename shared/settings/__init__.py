"""All settings with their defaults, a module for each group of sections."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.setting_types import Language
from shared.settings.accounts import AuthSettings, CalloutSettings, MailSettings, NoticesSettings, VerificationSettings
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from shared.settings.messages import MediaSettings, MessageSettings, OutgoingHookSettings, SearchSettings
from shared.settings.servers import (
    DatabaseSettings,
    LogSettings,
    NatsSettings,
    OpsSettings,
    RedisSettings,
    TracingSettings,
    sqlalchemy_url,
    with_tls,
)

__all__ = [
    "AuthSettings", "CalloutSettings", "DatabaseSettings", "EdgeSettings", "LimitsSettings", "LogSettings",
    "MailSettings", "MediaSettings", "MessageSettings", "NatsSettings", "NoticesSettings",
    "OpsSettings", "OutgoingHookSettings", "RedisSettings", "SearchSettings", "Settings", "TracingSettings",
    "VerificationSettings",
]  # fmt: skip


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DRAGOMAN_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data: Path = Field(Path(".dragoman"), description="directory of the embedded servers, keys and outbox")
    language: Language = Field(
        "zh", description="of the server's texts for users, such as [图片], mails and pages: zh or en"
    )
    nats: NatsSettings = NatsSettings()
    redis: RedisSettings = RedisSettings()
    database: DatabaseSettings = DatabaseSettings()
    ops: OpsSettings = OpsSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    limits: LimitsSettings = LimitsSettings()
    verification: VerificationSettings = VerificationSettings()
    mail: MailSettings = MailSettings()
    auth: AuthSettings = AuthSettings()
    callout: CalloutSettings = CalloutSettings()
    notices: NoticesSettings = NoticesSettings()
    message: MessageSettings = MessageSettings()
    search: SearchSettings = SearchSettings()
    edge: EdgeSettings = EdgeSettings()
    media: MediaSettings = MediaSettings()
    outgoing_hooks: OutgoingHookSettings = OutgoingHookSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only `load` reads the environment and files."""
        return (init_settings,)

    def database_url(self, service: str) -> str:
        """The SQLAlchemy URL of a service's own database."""
        return with_tls(sqlalchemy_url(self.database.url.get_secret_value(), service), self.database)
