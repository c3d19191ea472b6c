"""The codecs of all dialects. To add a dialect, add a module here and an entry in `CODECS`."""

from dragoman_client.codec.base import Codec
from dragoman_client.codec.irc import IrcCodec
from dragoman_client.codec.native import NativeCodec
from dragoman_client.codec.ourchat_v0 import OurChatV0Codec
from dragoman_client.codec.ourchat_v1 import OurChatV1Codec
from dragoman_client.codec.ourchat_v2 import OurChatV2Codec
from dragoman_client.codec.pipe import PipeCodec
from dragoman_client.codec.service import ServiceCodec
from dragoman_client.nonces import NonceSource

_NATIVE = NativeCodec(NonceSource().new_nonce)
_ALL = (OurChatV0Codec(), OurChatV1Codec(), OurChatV2Codec(), ServiceCodec(), PipeCodec(), _NATIVE, IrcCodec())
CODECS: dict[str, Codec] = {codec.dialect: codec for codec in _ALL}
