"""Checks what notifications need: a key, a contact that push services accept, an address for browsers, and access to
the push services of the subscribed devices."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from sqlalchemy.exc import SQLAlchemyError

from services.cli.databases import open_existing
from services.cli.doctor.finding import Finding, failed, ok, unknown
from services.session.store import subscriptions
from shared.errors import StartupError
from shared.outgoing_addresses import AddressRules
from shared.outgoing_http import OutgoingFailed, OutgoingHttp
from shared.settings import Settings

_WHAT = "notifications"
_SERVICES = 3
_SECONDS = 5.0
_MOST_SKEW_SECONDS = 300.0
"""The largest accepted difference between the clocks of this machine and a push service. It is small compared with the
twelve hours for which a token is valid."""


async def check(settings: Settings, *, makes_key: bool) -> list[Finding]:
    """Checks notifications. `makes_key`: `dragoman up` makes the key."""
    found = [_settings(settings, makes_key=makes_key)]
    if not settings.push.enabled:
        return found
    return [*found, *await services(await asyncio.to_thread(_origins, settings), settings)]


def _settings(settings: Settings, *, makes_key: bool) -> Finding:
    push, key = settings.push, settings.push.key.get_secret_value()
    if not push.enabled:
        return ok(_WHAT, "are switched off (push.enabled)")
    if not key and not makes_key:
        return unknown(_WHAT, "session may have a push.key, which this machine does not; `dragoman secrets` makes it")
    if key and key == push.previous_key.get_secret_value():
        return failed(_WHAT, "push.previous_key is push.key", "leave it empty, or make a new key with --new-push-key")
    if push.mail_minutes and not (settings.mail.is_on and settings.edge.has_https):
        remedy = "set mail.smtp_host, and edge.public_url to https://…; or push.mail_minutes to 0"
        return failed(_WHAT, "push.mail_minutes is set, but nothing is mailed", remedy)
    if not settings.edge.has_https:
        contact = "" if push.contact else ", and without push.contact, push services cannot contact you"
        return ok(_WHAT, f"apps can subscribe; browsers cannot before edge.public_url is https://…{contact}")
    contact = push.contact or f"{settings.edge.public_url}; push.contact is empty"
    return ok(_WHAT, f"push services can contact you at {contact}")


def _origins(settings: Settings) -> Sequence[str]:
    """The push services with the most devices. The list is empty if the database cannot be read, which another check
    reports."""
    try:
        with open_existing(settings.database_url("session")) as connection:
            return subscriptions.common_origins(connection, _SERVICES) if connection else []
    except (StartupError, SQLAlchemyError):
        return []


async def services(origins: Sequence[str], settings: Settings, context: ssl.SSLContext | None = None) -> list[Finding]:
    """Check that this machine reaches these push services, and that the machine's clock is right."""
    http = OutgoingHttp(AddressRules(settings.push.permitted_networks), _SECONDS, _SERVICES, context)
    try:
        return await asyncio.gather(*(_service(http, one) for one in origins))
    finally:
        http.close()


async def _service(http: OutgoingHttp, origin: str) -> Finding:
    what = "push service"
    try:
        response = await http.request("GET", f"{origin}/", {})
    except OutgoingFailed as error:
        remedy = "permit session https to it (on Kubernetes, network.outgoingWebhooks=true)"
        return failed(what, f"{origin}: {error}", remedy)
    try:
        there = parsedate_to_datetime(dict(response.headers)[b"date"].decode("latin-1")).timestamp()
    except (KeyError, ValueError, OverflowError):  # the reply may have any form, because users choose the services
        return ok(what, f"{origin} is reached")
    skew = time.time() - there
    if abs(skew) > _MOST_SKEW_SECONDS:
        side = "ahead" if skew > 0 else "late"
        wrong = f"compared with the clock of {origin}, this machine's clock is {abs(skew) / 60:.0f} minutes {side}"
        return failed(what, wrong, "let NTP set the clock, otherwise push services reject everything")
    return ok(what, f"{origin} is reached, and its clock agrees")
