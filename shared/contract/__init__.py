"""The contract between services: commands, replies, events, errors and subjects.

Services exchange only these types. A new field has a default, and nothing is renamed, retyped or removed, because
services of version N-1 and N run side by side during an upgrade.

Begin at `routes`: a request's type has its route, as `members.ListBans` has. `subjects` lists all routes and published
subjects; `permissions` lists which process may use them.
"""
