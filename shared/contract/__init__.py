"""The contract between services: commands, replies, events, errors and subjects.

Services exchange only these types. A new field has a default, and nothing is renamed, retyped or removed, because
services of version N-1 and N run side by side during an upgrade.

Begin with `routes`. The type of a request has its route, for example `members.ListBans.route`. `subjects` lists all
routes and published subjects; `permissions` lists which process may use them.
"""
