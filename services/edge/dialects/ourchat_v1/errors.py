"""The error replies of v1: registration and login have states of their own; all else is an 18."""

from collections.abc import Mapping

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v1.codes import V1Code
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode

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
"""By the type of the command."""
