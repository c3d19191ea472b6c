"""The frames of OurChat v1 by their `code`, under the headings of its document."""

from enum import IntEnum


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
    """建群请求; its reply is a 10."""
    APPLY = 9
    """申请加入群聊/添加好友, both ways."""
    ACCEPT = 10
    """被拉入群聊/通过加入群聊申请/通过好友申请, both ways."""
    REJECT = 11
    """拒绝加入群聊申请/好友申请, both ways."""
    RENAME = 12
    """修改群名/用户昵称, both ways."""
    ERROR = 18
    """Not in the document: an error without a state of its own."""
