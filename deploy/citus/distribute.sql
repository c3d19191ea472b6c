-- Distributes the tables of the message service by chat over the workers of Citus, but those that already are. In its
-- database on the coordinator, after each `dragoman migrate` and before the service starts: see docs/operate/scale-out.md.
SELECT NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'messages'::regclass) AS is_first \gset
\if :is_first
BEGIN;
-- A unique constraint of a distributed table holds the column by which it is distributed.
ALTER TABLE messages DROP CONSTRAINT messages_pkey;
ALTER TABLE messages DROP CONSTRAINT messages_order;
ALTER TABLE messages ADD CONSTRAINT messages_order PRIMARY KEY (chat_id, index);
CREATE INDEX messages_id ON messages (id);
ALTER TABLE messages ALTER COLUMN id DROP IDENTITY;
CREATE SEQUENCE messages_ids OWNED BY messages.id;
SELECT setval('messages_ids', greatest((SELECT max(id) FROM messages), 1));
ALTER TABLE messages ALTER COLUMN id SET DEFAULT nextval('messages_ids');
COMMIT;
SELECT create_distributed_table('heads', 'chat_id');
\endif

SELECT create_distributed_table(name, 'chat_id', colocate_with => 'heads')
FROM unnest(ARRAY['messages', 'revisions', 'edits', 'reactions', 'cursors', 'drafts']) AS name
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = name::regclass);

-- Citus sets them on the workers, too. One connection to a worker for each transaction: what it reads there comes from one
-- snapshot. The others are the planner's switches that the service sets for its own connections.
SELECT format('ALTER DATABASE %I SET %s', current_database(), setting) AS statement
FROM unnest(ARRAY[
    'citus.max_adaptive_executor_pool_size = 1', 'enable_hashjoin = off', 'enable_mergejoin = off', 'enable_seqscan = off'
]) AS setting \gexec
