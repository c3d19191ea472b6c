"""The frames of OurChat v0 by their `code`, under the headings of the protocol's document, and the error replies.
Errors of registration and login have states of their own. Every other error has code 18."""

from collections.abc import Mapping
from enum import IntEnum

from services.edge.dialects.ourchat_envelope import UNEXPLAINED, WRONG_LOGIN, ErrorReply, error_reply
from shared.contract.auth import Login, Register


class V0Code(IntEnum):
    TEXT = 0
    """文本信息, both ways."""
    EMOJI = 1
    """表情信息, both ways."""
    IMAGE = 2
    """图像信息, both ways."""
    FILE = 3
    """文件信息, both ways."""
    REGISTER = 4
    REGISTERED = 5
    """注册信息 and its reply."""
    LOGIN = 6
    LOGGED_IN = 7
    """登录信息 and its reply."""
    ERROR = 18
    """An error for which the document has no state. This code is not in the document."""


ERROR_REPLIES: Mapping[object, ErrorReply] = {
    # Error 1 means 服务器错误 (server error). It also reports an e-mail address that is taken.
    Register: error_reply(V0Code.REGISTERED, 1, UNEXPLAINED),
    # Error 1 means 账号或密码不正确 (wrong account or password). The dialect has no other error for a login.
    Login: error_reply(V0Code.LOGGED_IN, None, WRONG_LOGIN),
}
"""The error replies by the type of the command."""
