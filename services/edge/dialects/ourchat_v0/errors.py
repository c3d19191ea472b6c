"""The error replies of v0: registration and login have states of their own; all else is an 18."""

from collections.abc import Mapping

from services.edge.dialects.ourchat_envelope import ErrorReply
from services.edge.dialects.ourchat_v0.codes import V0Code
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode

ERROR_REPLIES: Mapping[object, ErrorReply] = {
    # 1 服务器错误, for a taken e-mail too
    Register: ErrorReply(V0Code.REGISTERED, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 1, ErrorCode.LIMIT: 1, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 1,
        ErrorCode.UNAVAILABLE: 1, ErrorCode.INTERNAL: 1,
    }),
    # 1 账号或密码不正确: there is no other
    Login: ErrorReply(V0Code.LOGGED_IN, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: None, ErrorCode.LIMIT: None, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: None,
        ErrorCode.UNAVAILABLE: None, ErrorCode.INTERNAL: None,
    }),
}  # fmt: skip
"""By the type of the command."""
