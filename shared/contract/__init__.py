"""What the services say to each other: commands, replies, events, errors and subjects.

Only these types cross a wall between services. Evolution rule: a new field has a default; nothing is renamed,
retyped or removed (services of version N-1 and N run side by side during an upgrade).

Begin at `routes`: a request's type has its route, as `members.ListBans` has. `subjects` lists all routes, and what
is published; `permissions` says which process may use them.
"""
