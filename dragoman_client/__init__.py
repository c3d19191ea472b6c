"""The client library: a codec for each dialect, and the I/O for asyncio (`aio`).

The codecs do no I/O. `dragoman_client.codec.CODECS` lists the dialects. The library imports no service.
"""
