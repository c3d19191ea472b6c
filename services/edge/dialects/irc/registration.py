"""Handles the beginning of a connection: capabilities, nick, user, password or SASL. Shows the welcome once the account
is known."""

import base64
from collections.abc import Iterator, Mapping

from services.edge.canonical.commands import Command, RenewToken
from services.edge.dialects import credentials
from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc import multiline, playback, searches, webpush
from services.edge.dialects.irc.history import EVENT_PLAYBACK
from services.edge.dialects.irc.lines import Line, encode_line, fill_lines, word
from services.edge.dialects.irc.metadata import LIMITS
from services.edge.dialects.irc.names import fold, user_of
from services.edge.dialects.irc.server import EXTENDED_ISUPPORT, goodbye, request_welcome
from services.edge.dialects.irc.session import NOBODY, Answer, IrcSession, Lines, rejection
from services.edge.dialects.irc.users import PRE_AWAY
from shared.contract.auth import Authenticated, IdentifierKind, Login, Register, VerificationNeeded
from shared.contract.errors import ErrorCode, Failure
from shared.contract.guests import RegisterGuest, RenameGuest
from shared.contract.ids import NO_ACCOUNT
from shared.contract.model import ProfileSummary, Scheme, Secret
from shared.irc_names import is_nick

_REGISTRATION = "draft/account-registration"
CAPABILITIES: dict[str, str] = dict.fromkeys(
    (
        "account-tag", "account-notify", "away-notify", "batch", "cap-notify", "chghost", _REGISTRATION,
        "draft/channel-rename", "draft/chathistory", EVENT_PLAYBACK, EXTENDED_ISUPPORT, "draft/message-redaction",
        "draft/metadata-3", "draft/multiline", PRE_AWAY, "draft/read-marker", webpush.CAPABILITY, "echo-message",
        "extended-join", "extended-monitor", "invite-notify", "labeled-response", "message-tags", "multi-prefix",
        "no-implicit-names", "sasl", "server-time", "setname", searches.CAPABILITY, "standard-replies",
        "userhost-in-names", playback.CAPABILITY, "znc.in/self-message",
    ), "",
) | {"draft/metadata-3": LIMITS, "sasl": "PLAIN,OAUTHBEARER,IRCV3BEARER"}  # fmt: skip
"""The capabilities in the order in which they are listed, with their values."""
_OLDER: Mapping[str, str] = {"draft/metadata-2": "draft/metadata-3", "soju.im/webpush": webpush.CAPABILITY}
"""Older names of capabilities, and the newer names that mean the same."""
_IMPLIED: Mapping[str, tuple[str, ...]] = {playback.CAPABILITY: ("server-time",)}
"""The capabilities that a client gets with another one. A client of playback remembers the time of its last message."""
_CAP_BYTES = 400
_SASL_BYTES, _SASL_WHOLE = 400, 12_000
_REAL_NAME_CHARACTERS, _DEVICE_CHARACTERS = 120, 64
_HOW = "Log in by SASL PLAIN, or by the server password USERNAME:PASSWORD"


class IrcRegistration:
    """The state before the welcome. `begun`: whether the client has sent a line of its registration. `negotiating`:
    whether it has sent CAP, but no CAP END yet."""

    def __init__(self, session: IrcSession) -> None:
        self._session = session
        self.begun = self._negotiating = self._has_nick = self._has_user = False
        self._is_302 = False
        self._password = self._mechanism = self._initial = ""

    @property
    def pending(self) -> bool:
        return self.begun and not self._session.welcomed

    def handle(self, line: Line, answer: Answer) -> Lines:
        self.begun = self.begun or not self._session.account
        match line.command:
            case "CAP":
                lines = self._cap(line, answer)
            case "NICK":
                lines = self._nick(line, answer)
            case "USER":
                lines = self._user(line, answer)
            case "PASS":
                lines = self._pass(line, answer)
            case "REGISTER":
                lines = self._register(line, answer)
            case _:
                lines = self._authenticate(line, answer)
        return [*lines, *self._advance(answer)]

    # Capabilities

    def _cap(self, line: Line, answer: Answer) -> Lines:
        session, (subcommand, *rest) = self._session, line.parameters or [""]
        match subcommand.upper():
            case "LS":
                self._negotiating = not session.welcomed
                if rest and rest[0].isascii() and rest[0].isdigit() and int(rest[0][:9]) >= 302:
                    self._is_302 = True
                    session.capabilities.add("cap-notify")
                return self._list("LS", [*self._named()])
            case "LIST":
                return self._list("LIST", sorted(session.capabilities))
            case "REQ":
                self._negotiating = not session.welcomed
                return self._request(" ".join(rest[-1:]))
            case "END":
                self._negotiating = False
                return self._abort_sasl()
            case _:
                raise rejection(answer, "410", "There is no such subcommand of CAP", subcommand)

    def _named(self) -> Iterator[str]:
        server = self._session.info.server
        early = () if server.guests_give_password else ("before-connect",)
        mail = ("email-required",) if server.verifies_mail else ()
        values = {_REGISTRATION: ",".join(early + mail), multiline.CAPABILITY: multiline.limits(self._session)}
        for name, value in (CAPABILITIES | values).items():
            if not self._is_offered(name):
                continue
            if self._is_302:
                yield f"{name}={value}" if value else name
            elif "/" not in name:  # the others are not ratified
                yield name
        if self._is_302 and server.sts_policy:  # a client that requests this capability gets NAK
            yield f"sts={server.sts_policy}"

    def _is_offered(self, name: str) -> bool:
        return name in CAPABILITIES and (name != searches.CAPABILITY or "search" in self._session.info.server.features)

    def _list(self, subcommand: str, names: list[str]) -> Lines:
        lines = list(fill_lines(names, _CAP_BYTES)) or [""]
        words = [("*",) if self._is_302 and number < len(lines) - 1 else () for number in range(len(lines))]
        return [self._cap_line(subcommand, *more, last=one) for more, one in zip(words, lines, strict=True)]

    def _request(self, text: str) -> Lines:
        wanted = [(_OLDER.get(name := each.removeprefix("-"), name), each) for each in text.split()]
        if not all(self._is_offered(name) and each != "-cap-notify" for name, each in wanted):
            return self._repeated("NAK", text)
        for name, each in wanted:
            if each.startswith("-"):
                self._session.capabilities.discard(name)
            else:
                self._session.capabilities |= {name, *_IMPLIED.get(name, ())}
        return self._repeated("ACK", text)

    def _repeated(self, subcommand: str, text: str) -> Lines:
        """Repeat the names of a request, in several lines if they are too long for one."""
        texts = [text] if len(text) <= _CAP_BYTES else fill_lines(text.split(), _CAP_BYTES)
        return [self._cap_line(subcommand, last=one) for one in texts]

    def _cap_line(self, subcommand: str, *words: str, last: str) -> bytes:
        return encode_line("CAP", self._session.nick, subcommand, *words, last=last, source=self._session.server)

    # Names

    def _nick(self, line: Line, answer: Answer) -> Lines:
        """Handle NICK. In numeric 001, the client gets the account's nick, even if it has requested another one. After
        the welcome, only a guest can change its nick, because an account's nick follows its nickname, which other
        dialects change."""
        if not line.parameters or not line.parameters[0]:
            raise rejection(answer, "431", "A nick is missing")
        session, nick = self._session, line.parameters[0]
        if session.welcomed:
            if session.is_guest:
                return _rename_guest(session, nick, answer)
            if nick.lower() == session.nick.lower():
                return ()
            raise rejection(answer, "400", "Your nick follows your nickname, which other clients change", "NICK")
        if not nick.isprintable() or " " in nick or nick[0] in "#:$@&+~%" or (self._is_guest and not is_nick(nick)):
            raise rejection(answer, "432", "This is no nick", nick)
        self._has_nick, session.wanted_nick = True, nick
        return ()

    @property
    def _is_guest(self) -> bool:
        """Whether the connection registers as a guest: it has named no account, and the server permits guests."""
        return self._session.info.server.guests and not self._session.account and ":" not in self._password

    def _user(self, line: Line, answer: Answer) -> Lines:
        if self._session.welcomed:
            raise rejection(answer, "462", "You are logged in already")
        if len(line.parameters) < 4:
            raise rejection(answer, "461", "USER has four parameters", "USER")
        name, *_, real_name = line.parameters
        if not name or not real_name:
            raise rejection(answer, "461", "USER has four parameters", "USER")
        self._has_user = True
        session = self._session
        session.device = name[:_DEVICE_CHARACTERS]
        session.wanted_user = (
            "~" + "".join(one for one in name if (one.isalnum() and one.isascii()) or one in "-_.")[:9]
        )
        session.wanted_name = real_name[:_REAL_NAME_CHARACTERS]
        return ()

    def _register(self, line: Line, answer: Answer) -> Lines:
        """Register a new account with the nick that the client has requested. A guest becomes this account, with its
        present nick."""
        session = self._session
        if len(line.parameters) < 3:
            raise rejection(answer, "461", "REGISTER has three parameters", "REGISTER")
        name, email, password = line.parameters[:3]
        nick = session.nick if session.is_guest else session.wanted_nick
        name = nick if name == "*" else name

        def rejected(code: str, text: str) -> DecodeError:
            return rejection(answer, "", text, name or "*", fail=code)

        if session.account != NO_ACCOUNT and not session.is_guest:
            raise rejected("ALREADY_AUTHENTICATED", "You are logged in already")
        if session.info.server.guests_give_password and not session.welcomed:
            raise rejected("COMPLETE_CONNECTION_REQUIRED", "The server wants its password first")
        if not nick:
            raise rejected("NEED_NICK", "NICK must come first")
        if fold(name) != fold(nick):
            raise rejected("ACCOUNT_NAME_MUST_BE_NICK", "The name of an account is the nick")

        def failed(failure: Failure) -> Lines:
            codes = {ErrorCode.CONFLICT: "ACCOUNT_EXISTS", ErrorCode.UNAVAILABLE: "TEMPORARILY_UNAVAILABLE"}
            field = {"email": "INVALID_EMAIL", "secret": "WEAK_PASSWORD"}.get(
                failure.field, "UNACCEPTABLE_ACCOUNT_NAME"
            )
            return [session.fail("REGISTER", failure, word(name), code=codes.get(failure.code, field))]

        nickname = (session.wanted_name or nick)[: session.info.limits.nickname_characters]
        command = Register(
            secret=credentials.password(password), nickname=nickname, username=nick, email="" if email == "*" else email
        )
        return session.request(command, answer, lambda reply: self._registered(reply, name, answer), failed)

    def _registered(self, reply: object, name: str, answer: Answer) -> Lines:
        session = self._session
        if isinstance(reply, VerificationNeeded):
            text = credentials.VERIFY_BY_MAIL.text
            return [session.line("REGISTER", "VERIFICATION_REQUIRED", word(name), last=text)]
        success = session.line("REGISTER", "SUCCESS", word(name), last="The account is registered")
        return [success, *self._sasl_succeeded(reply, answer)]

    def _pass(self, line: Line, answer: Answer) -> Lines:
        if self._session.welcomed:
            raise rejection(answer, "462", "You are logged in already")
        if not line.parameters:
            raise rejection(answer, "461", "The password is missing", "PASS")
        self._password = line.parameters[0]
        return ()

    # SASL

    def _authenticate(self, line: Line, answer: Answer) -> Lines:
        if not line.parameters:
            raise rejection(answer, "461", "AUTHENTICATE has one parameter", "AUTHENTICATE")
        session, parameter = self._session, line.parameters[0]
        if parameter == "*":
            return self._abort_sasl() or [session.numeric("906", last="SASL authentication aborted")]
        if not self._mechanism:
            names = CAPABILITIES["sasl"]
            if parameter.upper() not in names.split(","):
                listed = session.numeric("908", names, last="are the SASL mechanisms")
                return [listed, self._sasl_failed("There is no such SASL mechanism")]
            self._mechanism, self._initial = parameter.upper(), ""
            return [encode_line("AUTHENTICATE", "+")]
        if len(parameter) > _SASL_BYTES or len(self._initial) > _SASL_WHOLE:
            self._mechanism = ""
            numeric = "905" if len(parameter) > _SASL_BYTES else "904"
            return [session.numeric(numeric, last="The SASL message is too long")]
        self._initial += "" if parameter == "+" else parameter
        if len(parameter) == _SASL_BYTES:
            return ()
        mechanism, self._mechanism = self._mechanism, ""
        return self._log_in_by_sasl(mechanism, answer)

    def _log_in_by_sasl(self, mechanism: str, answer: Answer) -> Lines:
        session = self._session
        try:
            message, self._initial = self._initial, ""  # it contains a password
            parts = base64.b64decode(message, validate=True).decode()
            command, token = _sasl_login(mechanism, parts)
        except (ValueError, DecodeError):
            return [self._sasl_failed("SASL authentication failed")]
        return session.request(
            command, answer,
            lambda reply: self._sasl_succeeded(reply, answer),
            lambda failure: [self._sasl_failed(failure.text or "SASL authentication failed")],
            token,
        )  # fmt: skip

    def _sasl_succeeded(self, reply: object, answer: Answer) -> Lines:
        session = self._session
        if isinstance(reply, VerificationNeeded):
            return [self._sasl_failed(credentials.VERIFY_BY_MAIL.text)]
        named = session.user
        if isinstance(reply, Authenticated):
            session.is_guest = False
            face = ProfileSummary(reply.nickname, reply.uuid, 0, reply.nick)
            named = user_of(reply.account, face, session.server)
        renamed, number = session.rename(named), session.account
        if session.welcomed:
            request_welcome(session, answer)
        return [
            session.numeric("900", session.mask, named.account_name or number, last="You are logged in"),
            session.numeric("903", last="SASL authentication successful"),
            *renamed,
            *self._advance(answer),
        ]

    def _sasl_failed(self, text: str) -> bytes:
        return self._session.numeric("904", last=text)

    def _abort_sasl(self) -> Lines:
        aborted, self._mechanism = bool(self._mechanism), ""
        return [self._session.numeric("906", last="SASL authentication aborted")] if aborted else ()

    # End of a registration

    def _advance(self, answer: Answer) -> Lines:
        session = self._session
        if session.welcomed or self._negotiating or self._mechanism or not (self._has_nick and self._has_user):
            return ()
        if session.follow_ups:  # a login is one of the follow-ups
            return ()
        if session.account != NO_ACCOUNT:
            return request_welcome(session, answer)
        name, colon, secret = self._password.partition(":")
        if self._is_guest:
            return self._enter_as_guest(answer)
        if not colon:
            numeric = [session.numeric("464", last=_HOW)] if self._password else []
            required = encode_line("FAIL", NOBODY, "ACCOUNT_REQUIRED", last=_HOW, source=session.server)
            return [*numeric, required, *goodbye(session, _HOW)]
        try:
            command = _login(name, secret)
        except DecodeError as error:
            return self._wrong_password(error.failure)
        return session.request(command, answer, lambda reply: self._logged_in(reply, answer), self._wrong_password)

    def _enter_as_guest(self, answer: Answer) -> Lines:
        session, nick = self._session, self._session.wanted_nick
        command = RegisterGuest(nick=nick, guest=session.wanted_user, signature=session.wanted_name)
        command.password = Secret(Scheme.PLAIN, self._password)

        def failed(failure: Failure) -> Lines:
            self._has_nick = False
            if failure.code is ErrorCode.CONFLICT:
                return [session.numeric("433", word(nick), last="This nick is taken")]
            if failure.code is ErrorCode.INVALID:
                return [session.numeric("432", word(nick), last=failure.words)]
            if failure.code is ErrorCode.UNAUTHENTICATED:
                return self._wrong_password(failure)
            return [session.fail(NOBODY, failure), *goodbye(session, failure.words)]

        return session.request(command, answer, lambda reply: self._logged_in(reply, answer), failed)

    def _logged_in(self, reply: object, answer: Answer) -> Lines:
        if isinstance(reply, VerificationNeeded):
            return self._wrong_password(credentials.VERIFY_BY_MAIL)
        self._password = ""
        return request_welcome(self._session, answer)

    def _wrong_password(self, failure: Failure) -> Lines:
        session, text = self._session, failure.words
        if failure.code is ErrorCode.UNAVAILABLE and failure is not credentials.VERIFY_BY_MAIL:
            line = session.fail(NOBODY, failure)
        else:
            line = session.numeric("464", last=text)
        return [line, *goodbye(session, text)]


def _login(name: str, secret: str) -> Login:
    """Raises DecodeError."""
    return Login(kind=IdentifierKind.ANY, identifier=name, secret=credentials.password(secret))


def _sasl_login(mechanism: str, message: str) -> tuple[Command, str]:
    """Return the command of a login, and its token if it has one. Raises ValueError, DecodeError."""
    if mechanism == "OAUTHBEARER":
        return RenewToken(), _bearer(message)
    other, name, secret = message.split("\0")
    if mechanism == "IRCV3BEARER" and name == "jwt" and secret:
        return RenewToken(), secret
    if other not in ("", name):
        raise ValueError("nobody acts as another account")
    return _login(name, secret), ""


def _bearer(message: str) -> str:
    """The token in a message of OAUTHBEARER (RFC 7628). Raises ValueError."""
    for pair in message.split("\x01"):
        name, _, value = pair.partition("=")
        scheme, _, token = value.partition(" ")
        if name == "auth" and scheme.lower() == "bearer" and token:
            return token
    raise ValueError("no token")


def _rename_guest(session: IrcSession, nick: str, answer: Answer) -> Lines:
    """Request a new nick for a guest. The client sees the new nick when the event arrives."""
    if not is_nick(nick):
        raise rejection(answer, "432", "This is no nick", nick)
    if nick == session.nick:
        return ()

    def failed(failure: Failure) -> Lines:
        if failure.code is ErrorCode.CONFLICT:
            return [session.numeric("433", word(nick), last="This nick is taken")]
        if failure.code is ErrorCode.INVALID:
            return [session.numeric("432", word(nick), last=failure.words)]
        return [session.fail("NICK", failure)]

    return session.request(RenameGuest(nick), answer, lambda _: (), failed)
