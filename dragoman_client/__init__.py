"""Client library: a pure codec for each dialect (`codec`), and two shells that do its I/O, `aio` and `blocking`.

The library imports no service. `dragoman_client.codec.CODECS` lists the dialects.
"""
