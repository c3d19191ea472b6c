"""All settings with their defaults. Each group of sections has a module."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from shared.setting_types import Language, setting
from shared.settings.accounts import (
    AnnouncementSettings,
    AuthSettings,
    CalloutSettings,
    MailSettings,
    VerificationSettings,
)
from shared.settings.edge import EdgeSettings, IrcSettings
from shared.settings.limits import LimitsSettings
from shared.settings.messages import (
    MediaSettings,
    MessageSettings,
    OutgoingWebhookSettings,
    PushSettings,
    SearchSettings,
)
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


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path = setting(Path(".dragoman"), "data directory: embedded servers, keys and outbox")
    language: Language = setting(
        "zh", "language of the server's texts for users, such as [图片], mails and pages: zh or en"
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
    announcements: AnnouncementSettings = AnnouncementSettings()
    message: MessageSettings = MessageSettings()
    search: SearchSettings = SearchSettings()
    edge: EdgeSettings = EdgeSettings()
    irc: IrcSettings = IrcSettings()
    media: MediaSettings = MediaSettings()
    outgoing_webhooks: OutgoingWebhookSettings = OutgoingWebhookSettings()
    push: PushSettings = PushSettings()

    def database_url(self, service: str) -> str:
        """The SQLAlchemy URL of a service's own database."""
        return with_tls(sqlalchemy_url(self.database.url.get_secret_value(), service), self.database)
