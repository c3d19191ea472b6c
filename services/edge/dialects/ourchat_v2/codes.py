"""The frames of OurChat v2 by their `code`, under the headings of the protocol's document, and the error replies. If
the document names a status for an error, the reply has this status. Every other error has code 18."""

from collections.abc import Mapping
from enum import IntEnum

from services.edge.dialects.ourchat_envelope import UNEXPLAINED, WRONG_LOGIN, ErrorReply, error_reply
from shared.contract.auth import DeleteAccount, Login, Register
from shared.contract.errors import ErrorCode
from shared.contract.session import CreateChat, SetProfile


class V2Code(IntEnum):
    MESSAGE = 0
    """用户信息, both ways."""
    GET_SESSION = 1
    SESSION = 2
    """获取会话信息 and its reply."""
    REGISTER = 4
    REGISTERED = 5
    """注册信息 and its reply."""
    LOGIN = 6
    LOGGED_IN = 7
    """登录信息 and its reply."""
    NEW_SESSION = 8
    NEW_SESSION_MADE = 9
    """新建会话 (new session) and its reply. The reply is also pushed to members whose connection does not know the
    session."""
    GET_ACCOUNT = 10
    ACCOUNT = 11
    """获取账号信息 and its reply."""
    SERVER_STATUS = 12
    """获取服务器状态 (get the server status). Its reply is also pushed when the status changes."""
    VERIFY = 13
    """发起验证. This request has no reply until the address is verified."""
    SEND_VERIFICATION = 14
    VERIFICATION = 15
    """生成验证码 and its result (验证状态)."""
    DELETE_ACCOUNT = 16
    DELETED = 17
    """注销 and its reply."""
    ERROR = 18
    """错误信息."""
    SET_ACCOUNT = 19
    ACCOUNT_SET = 20
    """设置账号信息 and its reply."""


ERROR_REPLIES: Mapping[object, ErrorReply] = {
    # 1 服务器错误, 2 邮箱重复
    Register: error_reply(V2Code.REGISTERED, 1, {**UNEXPLAINED, ErrorCode.CONFLICT: 2}),
    # 1 账号或密码不正确, 2 服务器错误
    Login: error_reply(V2Code.LOGGED_IN, 2, {**UNEXPLAINED, **WRONG_LOGIN}),
    # 1 服务器错误, 2 到达创建会话上限
    CreateChat: error_reply(
        V2Code.NEW_SESSION_MADE, 1, {**UNEXPLAINED, ErrorCode.UNAUTHENTICATED: None, ErrorCode.LIMIT: 2}
    ),
    # 1 注销失败
    DeleteAccount: error_reply(V2Code.DELETED, 1, {ErrorCode.UNAUTHENTICATED: None}),
    # 1 权限不足, 2 服务器错误
    SetProfile: error_reply(
        V2Code.ACCOUNT_SET, 2,
        {**UNEXPLAINED, ErrorCode.UNAUTHENTICATED: None, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1},
    ),
}  # fmt: skip
"""The error replies by the type of the command."""
