"""The error replies of v2: a reply's own status where its document has one for the error, else an 18."""

from collections.abc import Mapping

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v2.codes import V2Code
from shared.contract.auth import DeleteAccount, Login, Register
from shared.contract.errors import ErrorCode
from shared.contract.session import CreateChat, SetProfile

ERROR_REPLIES: Mapping[object, ErrorReply] = {
    # 1 服务器错误, 2 邮箱重复
    Register: ErrorReply(V2Code.REGISTERED, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 2, ErrorCode.LIMIT: 1, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 1,
        ErrorCode.UNAVAILABLE: 1, ErrorCode.INTERNAL: 1,
    }),
    # 1 账号或密码不正确, 2 服务器错误
    Login: ErrorReply(V2Code.LOGGED_IN, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 2, ErrorCode.LIMIT: 2, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 2,
        ErrorCode.UNAVAILABLE: 2, ErrorCode.INTERNAL: 2,
    }),
    # 1 服务器错误, 2 到达创建会话上限
    CreateChat: ErrorReply(V2Code.NEW_SESSION_MADE, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: None, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 1, ErrorCode.LIMIT: 2, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 1,
        ErrorCode.UNAVAILABLE: 1, ErrorCode.INTERNAL: 1,
    }),
    # 1 注销失败
    DeleteAccount: ErrorReply(V2Code.DELETED, {
        ErrorCode.INVALID: 1, ErrorCode.UNAUTHENTICATED: None, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 1, ErrorCode.LIMIT: 1, ErrorCode.TOO_LARGE: 1, ErrorCode.RATE_LIMITED: 1,
        ErrorCode.UNAVAILABLE: 1, ErrorCode.INTERNAL: 1,
    }),
    # 1 权限不足, 2 服务器错误
    SetProfile: ErrorReply(V2Code.ACCOUNT_SET, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: None, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 2, ErrorCode.LIMIT: 2, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 2,
        ErrorCode.UNAVAILABLE: 2, ErrorCode.INTERNAL: 2,
    }),
}  # fmt: skip
"""By the type of the command."""
