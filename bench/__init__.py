"""The load generator. A *scenario* (`scenarios/`) plans a run on a *population* of accounts and chats; *workers*
(`load/`) carry out its tasks; `measurement/` starts the system and gathers one result. Begin with `cli.py`."""
