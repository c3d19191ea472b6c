"""native: the operations of the connection and the account."""

from services.edge.canonical.commands import ExportAccount, ExportMessages, RenewToken, RequestVerification
from services.edge.dialects.native import account_requests, bots, made, parameters, requests, results
from services.edge.dialects.native.exports import ExportMessagesParameters, ExportMessagesResult, ExportResult
from services.edge.dialects.native.operation import ANY, USERS, Operation, RateClass
from services.edge.dialects.native.refreshing import RefreshParameters, RefreshResult
from shared.contract.auth import ListLogins, Logout, Refresh
from shared.contract.bots import ListBots
from shared.contract.ids import ChatId
from shared.contract.made import EndMade, ListMade

_ENTRANCE, _READ, _WRITE, _LOCAL = RateClass.ENTRANCE, RateClass.READ, RateClass.WRITE, RateClass.LOCAL
_Nothing, _NoParameters = results.Nothing, parameters.NoParameters

ACCOUNT_OPERATIONS: tuple[Operation, ...] = (
    Operation("ping", "the time", _LOCAL, ANY, _NoParameters, results.PingResult, requests.ping, False),
    Operation(
        "register", "create an account and log in",
        _ENTRANCE, USERS, parameters.RegisterParameters, results.LoginResult, account_requests.register, False,
    ),
    Operation(
        "login", "log in by a password",
        _ENTRANCE, USERS, parameters.LoginParameters, results.LoginResult, account_requests.login, False,
    ),
    Operation(
        "token", "log in by a token, or replace the one of the login",
        _ENTRANCE, ANY, parameters.TokenParameters, results.TokenResult, lambda *_: RenewToken(), False,
    ),
    Operation(
        "refresh", "a new token and a new refresh token, in place of a refresh token",
        _ENTRANCE, USERS, RefreshParameters, RefreshResult, lambda wire, _: Refresh(wire.refresh), False,
    ),
    Operation(
        "verify_mail", "mail the link that the login waits for",
        _ENTRANCE, USERS, _NoParameters, _Nothing, lambda *_: RequestVerification(), False,
    ),
    Operation(
        "recover", "a new password by the answer to the security question, or by a ticket; request that ticket by mail",
        _ENTRANCE, USERS, parameters.RecoverParameters, made.RecoverResult, account_requests.recover, False,
    ),
    Operation(
        "password", "change the password; all other logins end",
        _ENTRANCE, USERS, parameters.PasswordParameters, made.PasswordResult, account_requests.change_password,
    ),
    Operation(
        "set_security", "the security question, after a login by a secret; an empty answer removes it",
        _WRITE, USERS, parameters.SecurityParameters, _Nothing, account_requests.set_security,
    ),
    Operation(
        "sessions", "list the logins of the account",
        _READ, USERS, _NoParameters, results.SessionsResult, lambda *_: ListLogins(),
    ),
    Operation(
        "end_session", "end a login of the account",
        _WRITE, USERS, parameters.EndSessionParameters, _Nothing, account_requests.end_session,
    ),
    Operation(
        "logout", "end this login; the connection closes",
        _WRITE, USERS, _NoParameters, _Nothing, lambda *_: Logout(""),
    ),
    Operation(
        "delete_account", "delete the account and its profile, by its password",
        _ENTRANCE, USERS, parameters.DeleteAccountParameters, _Nothing, account_requests.delete_account,
    ),
    Operation(
        "create_bot", "create an account of a program; it logs in by tokens alone",
        _ENTRANCE, USERS, bots.CreateBotParameters, bots.CreateBotResult, bots.create_bot,
    ),
    Operation(
        "bots", "list the own bots and their tokens",
        _READ, USERS, _NoParameters, bots.BotsResult, lambda *_: ListBots(),
    ),
    Operation(
        "delete_bot", "delete an own bot as an account; its connections end",
        _ENTRANCE, USERS, parameters.AccountParameters, _Nothing, bots.delete_bot,
    ),
    Operation(
        "create_bot_token", "a token of an own bot, for `token` and for requests by HTTP",
        _ENTRANCE, USERS, bots.CreateBotTokenParameters, bots.CreateBotTokenResult, bots.create_bot_token,
    ),
    Operation(
        "delete_bot_token", "revoke a token; its connections end",
        _WRITE, USERS, bots.DeleteBotTokenParameters, _Nothing, bots.delete_bot_token,
    ),
    Operation(
        "made", "list what the account has made that acts without a login: webhooks, links, tokens of bots",
        _READ, USERS, _NoParameters, made.MadeResult, lambda *_: ListMade(),
    ),
    Operation(
        "end_made", "end all of it: delete the webhooks and links, revoke the tokens of bots",
        _WRITE, USERS, _NoParameters, _Nothing, lambda *_: EndMade(),
    ),
    Operation(
        "export", "all that is stored of the account, but for messages",
        RateClass.EXPENSIVE, USERS, _NoParameters, ExportResult, lambda *_: ExportAccount(),
    ),
    Operation(
        "export_messages", "a page of the messages that the account has sent to a chat",
        RateClass.EXPENSIVE, USERS, ExportMessagesParameters, ExportMessagesResult,
        lambda wire, _: ExportMessages(ChatId(wire.chat), wire.after),
    ),
)  # fmt: skip
