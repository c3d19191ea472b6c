-- Distributes the tables of the message service by chat over the workers of Citus. Once, in its database on the
-- coordinator, after `dragoman migrate` and before the service starts: see docs/citus.md.
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
SELECT create_distributed_table('messages', 'chat_id', colocate_with => 'heads');
SELECT create_distributed_table('revisions', 'chat_id', colocate_with => 'heads');
SELECT create_distributed_table('edits', 'chat_id', colocate_with => 'heads');
SELECT create_distributed_table('reactions', 'chat_id', colocate_with => 'heads');
SELECT create_distributed_table('cursors', 'chat_id', colocate_with => 'heads');

-- One connection to a worker for each transaction: what it reads there comes from one snapshot.
SELECT format('ALTER DATABASE %I SET citus.max_adaptive_executor_pool_size = 1', current_database()) AS statement \gexec
-- The planner's switches that the service sets for its own connections hold on the workers too.
SELECT run_command_on_workers(format('ALTER DATABASE %I SET %s = off', current_database(), switch))
FROM unnest(ARRAY['enable_hashjoin', 'enable_mergejoin', 'enable_seqscan']) AS switch;
