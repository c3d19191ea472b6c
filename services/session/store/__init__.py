"""What session remembers: each transaction is a plain function of a connection.

Rows are locked in this order, each kind by ascending id: chats, then profiles; so no two transactions wait for each
other. Whoever changes a membership holds the chat's row and moves its version; whoever changes a
friendship, the profiles of both.
"""
