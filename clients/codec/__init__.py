"""The dialects that clients speak. Another one is a module here and a line in `CODECS`."""

from clients.codec.base import Codec
from clients.codec.native import NativeCodec
from clients.codec.ourchat_v0 import OurChatV0Codec
from clients.codec.ourchat_v1 import OurChatV1Codec
from clients.codec.ourchat_v2 import OurChatV2Codec
from clients.codec.pipe import PipeCodec
from clients.codec.service import ServiceCodec
from clients.nonces import NonceSource

_NATIVE = NativeCodec(NonceSource().new_nonce)
_ALL = (OurChatV0Codec(), OurChatV1Codec(), OurChatV2Codec(), ServiceCodec(), PipeCodec(), _NATIVE)
CODECS: dict[str, Codec] = {codec.dialect: codec for codec in _ALL}
