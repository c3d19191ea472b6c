"""The frames of OurChat v2 by their `code`, under the headings of its document."""

from enum import IntEnum


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
    """新建会话 and its reply; also pushed, to members of a session that their connection does not know."""
    GET_ACCOUNT = 10
    ACCOUNT = 11
    """获取账号信息 and its reply."""
    SERVER_STATUS = 12
    """获取服务器状态, both ways; also pushed when it changes."""
    VERIFY = 13
    """发起验证: the request is pending until the address is verified."""
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
