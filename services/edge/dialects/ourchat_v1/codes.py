"""The frames of OurChat v1 by their `code`, under the headings of the protocol's document, and the error replies.
Errors of registration and login have states of their own. Every other error has code 18."""

from collections.abc import Mapping
from enum import IntEnum

from services.edge.dialects.ourchat_envelope import ErrorReply
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode


class V1Code(IntEnum):
    MESSAGE = 0
    """文本信息, both ways. (1 to 3 are reserved for emoji, pictures and files.)"""
    REGISTER = 4
    REGISTERED = 5
    """注册信息 and its reply."""
    LOGIN = 6
    LOGGED_IN = 7
    """登录信息 and its reply."""
    NEW_GROUP = 8
    """建群请求 (request to make a group). Its reply has code 10."""
    APPLY = 9
    """申请加入群聊/添加好友, both ways."""
    ACCEPT = 10
    """被拉入群聊/通过加入群聊申请/通过好友申请, both ways."""
    REJECT = 11
    """拒绝加入群聊申请/好友申请, both ways."""
    RENAME = 12
    """修改群名/用户昵称, both ways."""
    ERROR = 18
    """An error for which the document has no state. This code is not in the document."""


ERROR_REPLIES: Mapping[object, ErrorReply] = {
    # 1 服务器错误, 2 邮箱重复
    Register: ErrorReply(V1Code.REGISTERED, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 2, ErrorCode.LIMIT: 1, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 1,
        ErrorCode.UNAVAILABLE: 1, ErrorCode.INTERNAL: 1,
    }),
    # 1 账号或密码不正确, 2 服务器错误
    Login: ErrorReply(V1Code.LOGGED_IN, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 2, ErrorCode.LIMIT: 2, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 2,
        ErrorCode.UNAVAILABLE: 2, ErrorCode.INTERNAL: 2,
    }),
}  # fmt: skip
"""The error replies by the type of the command."""
