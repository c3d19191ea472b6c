"""The requests of the protocol service by their `service_code`, under the headings of the protocol's document."""

from enum import IntEnum


class ServiceCode(IntEnum):
    LOGIN = 1
    """登录."""
    REGISTER = 2
    """注册."""
    GET_CHAT = 3
    """获取Chat: messages, newest first."""
    FIND_CHATS = 4
    """找Chat."""
    SEND = 5
    """收发."""
    JOIN = 6
    """加入群聊."""
    CREATE = 7
    """创建群聊."""
    PUSH = 8
    """A message from the server to a client that has requested pushes."""
    RECEIVE = 9
    """接收消息: messages, oldest first, or newest first from the end."""
