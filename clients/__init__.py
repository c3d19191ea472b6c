"""Client library: a pure codec for each dialect (`codec`), and two shells that do its I/O, `aio` and `blocking`.

It stands on no service. `clients.codec.CODECS` lists the dialects.
"""
