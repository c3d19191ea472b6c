"""The frames of OurChat v0 by their `code`, under the headings of its document."""

from enum import IntEnum


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
    """Not in the document: an error without a state of its own."""
