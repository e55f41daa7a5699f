-- rtd: the install script. All objects live in the schema of CREATE EXTENSION. The tables are the
-- registry, which functions read and write as the extension's owner; no role has privileges on them.
\echo Use "CREATE EXTENSION rtd" to load this file. \quit

-- The server refuses a script that has its placeholder for the schema, if the schema's name has quotes
-- in it: current_schema() is the schema too.

-- Topics are written by one role and used by others, so nothing here follows the caller's
-- search_path: the functions are C, and name what they use.

CREATE TABLE rtd_topic (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('event', 'state', 'keyed')),
    owner regrole NOT NULL,
    query text CHECK ((query IS NULL) = (kind = 'event')),
    key text[] CHECK ((key IS NULL) = (kind <> 'keyed')),
    shape text CHECK (shape IN ('rows', 'value') AND (kind <> 'keyed' OR shape = 'rows')),
    search_path text NOT NULL,
    parameters text[] NOT NULL DEFAULT '{}',
    parameter_types text[] NOT NULL DEFAULT '{}',
    parameter_collations text[] NOT NULL DEFAULT '{}',
    type text NOT NULL,
    security text NOT NULL DEFAULT 'definer' CHECK (security IN ('definer', 'invoker')),
    throttle interval NOT NULL,
    debounce interval NOT NULL,
    refresh interval,
    significant text,
    retain boolean NOT NULL,
    history integer NOT NULL,
    durable boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((shape IS NULL) = (kind = 'event'))
);
-- Columns hold no OID of what pg_upgrade gives another one: functions, collations and types are here
-- by their names, as they are under a search_path of pg_catalog; tables and roles keep their OIDs.
COMMENT ON TABLE rtd_topic IS 'topics; written by rtd_create_topic(), read through rtd_topics';
COMMENT ON COLUMN rtd_topic.search_path IS 'in force when the query was given; "$user" means the owner';
COMMENT ON COLUMN rtd_topic.parameter_types IS 'names of the types that the query gives its parameters, or the watched columns have; empty: not known yet, then text';
COMMENT ON COLUMN rtd_topic.parameter_collations IS 'for each parameter the name of the collation by which its values are equal where that is not the type''s own rule, else -; NULL: the query does not compare it for equality alone, so that a change may concern any value';
COMMENT ON COLUMN rtd_topic.security IS 'as whom the query runs: definer, the owner; invoker, the role of the subscriber';
COMMENT ON COLUMN rtd_topic.significant IS 'name, with its schema, of a function (old jsonb, new jsonb) returns boolean, looked up when it is called; or NULL: every state that differs is sent';
COMMENT ON COLUMN rtd_topic.shape IS 'what the data of a message is: rows, an array with an object for each row; value, the query''s one column as it is. Decided by its type when the topic got its query, or declared';
COMMENT ON COLUMN rtd_topic.version IS 'one more with every rtd_alter_topic()';

CREATE TABLE rtd_topic_grant (
    topic text NOT NULL REFERENCES rtd_topic ON UPDATE CASCADE ON DELETE CASCADE,
    role regrole NOT NULL,
    privilege text NOT NULL CHECK (privilege IN ('subscribe', 'publish')),
    PRIMARY KEY (topic, role, privilege)
);
COMMENT ON TABLE rtd_topic_grant IS 'who may subscribe or publish; written by rtd_grant()';

CREATE TABLE rtd_channel (
    channel text NOT NULL,
    topic text NOT NULL REFERENCES rtd_topic ON UPDATE CASCADE ON DELETE CASCADE,
    parameters text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (channel, topic)
);
COMMENT ON TABLE rtd_channel IS 'NOTIFY channels that feed topics; written by rtd_listen()';
COMMENT ON COLUMN rtd_channel.parameters IS 'fields of the JSON payload that hold the topic''s parameters';

CREATE TABLE rtd_watch (
    relation regclass NOT NULL,
    topic text NOT NULL REFERENCES rtd_topic ON UPDATE CASCADE ON DELETE CASCADE,
    columns text[] NOT NULL,
    parameters text[] NOT NULL,
    operations text[] NOT NULL,
    condition text,
    channel text,
    audit boolean NOT NULL DEFAULT false,
    key text[],
    key_is_named boolean NOT NULL DEFAULT false,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    PRIMARY KEY (relation, topic)
);
COMMENT ON TABLE rtd_watch IS 'watched tables; written by rtd_watch_table(), read by its triggers and through rtd_watched_tables';
COMMENT ON COLUMN rtd_watch.key IS 'into a keyed topic: for each column of its key the table''s column that tells which row a change concerns; NULL: any row';
COMMENT ON COLUMN rtd_watch.key_is_named IS 'the caller named the key, for a table that the query reads in a function';
COMMENT ON COLUMN rtd_watch.table_name IS 'name of the table when it was watched: another one may have it by now';

CREATE TABLE rtd_served_table (
    topic text PRIMARY KEY REFERENCES rtd_topic ON UPDATE CASCADE ON DELETE CASCADE,
    relation regclass NOT NULL
);
COMMENT ON TABLE rtd_served_table IS 'topics that rtd_serve_table() made, and of which table; a later call may change only those';

CREATE TABLE rtd_retained (
    topic text NOT NULL REFERENCES rtd_topic ON UPDATE CASCADE ON DELETE CASCADE,
    params text[] NOT NULL,
    message text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, params)
);
CREATE INDEX rtd_retained_age ON rtd_retained (topic, stored_at);
COMMENT ON TABLE rtd_retained IS 'last message of each instance of a retained event topic, written behind; of rtd.max_retained_messages instances of a topic at most';
COMMENT ON COLUMN rtd_retained.message IS 'the whole envelope, JSON text';
COMMENT ON COLUMN rtd_retained.stored_at IS 'when it was written; those of a topic that were written longest ago go when there are too many';

CREATE TABLE rtd_audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation text NOT NULL,
    action text NOT NULL,
    key jsonb,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE rtd_audit_log IS 'one row per change of a table watched with audit => true, written in the same transaction';
COMMENT ON COLUMN rtd_audit_log.relation IS 'schema and table at that time';

-- Messages of durable topics. The partitions are a ring in time: a message goes to the one that the
-- clock points at, and the hub empties the one that comes next. So expiry locks nothing that a
-- writer uses, and no partition has to be made ahead or can be missing.
CREATE TABLE rtd_message (
    id bigint GENERATED ALWAYS AS IDENTITY,
    slot smallint NOT NULL,
    topic text NOT NULL,
    params text[] NOT NULL,
    type text,
    source text NOT NULL,
    data json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    instance bigint,
    sequence bigint,
    PRIMARY KEY (id, slot) -- also the identity of its rows in a publication FOR ALL TABLES
) PARTITION BY LIST (slot);
COMMENT ON TABLE rtd_message IS
    'messages of durable topics, written in the transaction that makes them; kept for rtd.message_retention';
COMMENT ON COLUMN rtd_message.slot IS 'the partition: the time it was made, modulo 8';
COMMENT ON COLUMN rtd_message.params IS 'the instance; NULL matches every value, until the message is numbered';
COMMENT ON COLUMN rtd_message.type IS 'NULL: the topic''s own, until the message is numbered';
COMMENT ON COLUMN rtd_message.instance IS 'the row of rtd_durable_instance; NULL until the message is numbered';
COMMENT ON COLUMN rtd_message.sequence IS
    'number within its instance, in the order of commits; NULL until the hub has given it, right after the commit';

CREATE TABLE rtd_message_0 PARTITION OF rtd_message FOR VALUES IN (0);
CREATE TABLE rtd_message_1 PARTITION OF rtd_message FOR VALUES IN (1);
CREATE TABLE rtd_message_2 PARTITION OF rtd_message FOR VALUES IN (2);
CREATE TABLE rtd_message_3 PARTITION OF rtd_message FOR VALUES IN (3);
CREATE TABLE rtd_message_4 PARTITION OF rtd_message FOR VALUES IN (4);
CREATE TABLE rtd_message_5 PARTITION OF rtd_message FOR VALUES IN (5);
CREATE TABLE rtd_message_6 PARTITION OF rtd_message FOR VALUES IN (6);
CREATE TABLE rtd_message_7 PARTITION OF rtd_message FOR VALUES IN (7);
COMMENT ON TABLE rtd_message_0 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_1 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_2 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_3 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_4 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_5 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_6 IS 'a partition of rtd_message';
COMMENT ON TABLE rtd_message_7 IS 'a partition of rtd_message';

-- A writer maintains only the first of these, which holds what waits for a number.
CREATE INDEX rtd_message_unnumbered ON rtd_message (id) WHERE sequence IS NULL;
CREATE INDEX rtd_message_numbered ON rtd_message (instance, sequence) WHERE sequence IS NOT NULL;

CREATE TABLE rtd_durable_instance (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL REFERENCES rtd_topic ON UPDATE CASCADE ON DELETE CASCADE,
    path text[] NOT NULL, -- of any length, which a B-tree could not hold
    epoch bigint NOT NULL,
    timeline bigint NOT NULL,
    former_epochs bigint[] NOT NULL DEFAULT '{}',
    former_newest bigint[] NOT NULL DEFAULT '{}',
    sequence bigint NOT NULL,
    EXCLUDE USING hash (path WITH OPERATOR(pg_catalog.=)) -- not one that is made for text[] in this schema
);
COMMENT ON TABLE rtd_durable_instance IS
    'instances of durable topics that had a message; written by the hub''s query worker alone';
COMMENT ON COLUMN rtd_durable_instance.path IS 'topic and parameters';
COMMENT ON COLUMN rtd_durable_instance.epoch IS 'first part of its messages'' ids: when the first message with it was numbered, in microseconds';
COMMENT ON COLUMN rtd_durable_instance.timeline IS 'the server''s timeline that the epoch belongs to; on another one the next message begins another epoch';
COMMENT ON COLUMN rtd_durable_instance.former_epochs IS 'epochs before it, the newest last';
COMMENT ON COLUMN rtd_durable_instance.former_newest IS 'number of the newest message of each of them';
COMMENT ON COLUMN rtd_durable_instance.sequence IS 'number of its newest message';

REVOKE ALL ON rtd_topic, rtd_topic_grant, rtd_channel, rtd_watch, rtd_served_table, rtd_retained, rtd_audit_log,
    rtd_message, rtd_message_0, rtd_message_1, rtd_message_2, rtd_message_3,
    rtd_message_4, rtd_message_5, rtd_message_6, rtd_message_7,
    rtd_durable_instance FROM PUBLIC;

-- What pg_dump keeps. Not the messages of durable topics: a copy that goes its own way must not give
-- the same ids to other messages; so it begins with a new epoch, and who resumes is told of a gap.
-- Rows of dropped roles and tables would come back as bare OIDs, which may mean
-- somebody else on the server they are restored to: they are left out.
SELECT pg_catalog.pg_extension_config_dump('rtd_topic',
    'WHERE owner IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_catalog.pg_extension_config_dump('rtd_topic_grant', pg_catalog.format(
    'WHERE role IN (SELECT oid FROM pg_catalog.pg_roles) AND topic IN (SELECT name FROM %I.rtd_topic WHERE owner IN (SELECT oid FROM pg_catalog.pg_roles))', current_schema()));
SELECT pg_catalog.pg_extension_config_dump('rtd_channel', pg_catalog.format(
    'WHERE topic IN (SELECT name FROM %I.rtd_topic WHERE owner IN (SELECT oid FROM pg_catalog.pg_roles))', current_schema()));
SELECT pg_catalog.pg_extension_config_dump('rtd_watch', pg_catalog.format(
    'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class) AND topic IN (SELECT name FROM %I.rtd_topic WHERE owner IN (SELECT oid FROM pg_catalog.pg_roles))', current_schema()));
SELECT pg_catalog.pg_extension_config_dump('rtd_served_table', pg_catalog.format(
    'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class) AND topic IN (SELECT name FROM %I.rtd_topic WHERE owner IN (SELECT oid FROM pg_catalog.pg_roles))', current_schema()));
SELECT pg_catalog.pg_extension_config_dump('rtd_retained', pg_catalog.format(
    'WHERE topic IN (SELECT name FROM %I.rtd_topic WHERE owner IN (SELECT oid FROM pg_catalog.pg_roles))', current_schema()));
SELECT pg_catalog.pg_extension_config_dump('rtd_audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('rtd_audit_log_id_seq', '');

-- Triggers

CREATE FUNCTION rtd_trigger() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_trigger() IS
    'trigger of a watched table; made by rtd_watch_table() with the topic as its argument. Does nothing for a table and topic that are not registered';

CREATE FUNCTION rtd_catalog_trigger() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_catalog_trigger() IS 'tells the hub that the registry was written, by a function or by pg_restore';
REVOKE ALL ON FUNCTION rtd_catalog_trigger() FROM PUBLIC;

CREATE TRIGGER rtd_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rtd_topic
    FOR EACH STATEMENT EXECUTE FUNCTION rtd_catalog_trigger();
CREATE TRIGGER rtd_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rtd_topic_grant
    FOR EACH STATEMENT EXECUTE FUNCTION rtd_catalog_trigger();
CREATE TRIGGER rtd_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rtd_channel
    FOR EACH STATEMENT EXECUTE FUNCTION rtd_catalog_trigger();

-- pg_restore --data-only over what exists already.
CREATE FUNCTION rtd_restore_trigger() RETURNS trigger
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_restore_trigger() IS 'leaves out rows of the registry that COPY brings and that exist already; rows of the audit log get new ids';
REVOKE ALL ON FUNCTION rtd_restore_trigger() FROM PUBLIC;

CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_topic
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();
CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_topic_grant
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();
CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_channel
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();
CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_watch
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();
CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_served_table
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();
CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_retained
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();
CREATE TRIGGER rtd_restore BEFORE INSERT ON rtd_audit_log
    FOR EACH ROW EXECUTE FUNCTION rtd_restore_trigger();

CREATE FUNCTION rtd_catalog_changed() RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_catalog_changed() IS 'makes the hub read topics, grants and channels again';
REVOKE ALL ON FUNCTION rtd_catalog_changed() FROM PUBLIC;

-- Topics

CREATE FUNCTION rtd_create_topic(
    name text, query text = NULL, key text[] = NULL, parameters text[] = '{}', type text = NULL,
    security text = 'definer', throttle interval = NULL, debounce interval = '0',
    refresh interval = NULL, significant regprocedure = NULL, retain boolean = true,
    history integer = 100, durable boolean = false, shape text = NULL, if_not_exists boolean = false) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_create_topic(text, text, text[], text[], text, text, interval, interval, interval, regprocedure, boolean, integer, boolean, text, boolean) IS
    'creates a topic owned by the caller, who needs CREATE on the database: a keyed topic with a query and a key, a state topic with a query, an event topic without. The query runs as the owner, under the present search_path, with $1..$n for the parameters. key: columns of the query that tell its rows apart; subscribers get all rows, and then the rows that changed and the keys of those that are gone. throttle: default 100 ms for a state topic, 0 for the others. refresh: re-query on a timer, 0 or NULL for never. significant: a function (old jsonb, new jsonb) that returns false for a state that need not be sent after the last one sent. security: ''definer'' runs the query as the owner, ''invoker'' as the role of each subscriber, with request.jwt.claims set. durable: for an event topic; its messages are rows of rtd_message, written in the transaction that makes them, and clients resume without loss after any crash. shape: ''value'' sends the query''s one column as it is (null without a row; more than one row is an error), ''rows'' an array with an object for each row; default: a value if the column''s type is json or jsonb, rows otherwise. Only a declared value may be text that holds JSON';

CREATE FUNCTION rtd_alter_topic(
    name text, query text = NULL, key text[] = NULL, parameters text[] = NULL, type text = NULL,
    security text = NULL, throttle interval = NULL, debounce interval = NULL,
    refresh interval = NULL, significant regprocedure = NULL, retain boolean = NULL,
    history integer = NULL, durable boolean = NULL, shape text = NULL, owner regrole = NULL) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_alter_topic(text, text, text[], text[], text, text, interval, interval, interval, regprocedure, boolean, integer, boolean, text, regrole) IS
    'changes a topic of the caller. Subscribers stay and get the new state, unless kind, key, parameters, security or durable change. An argument that is NULL keeps the value. To reset: throttle, debounce and refresh => ''0'', significant => ''-'', type => '''' for the default, parameters and key => ''{}''. A query takes the present search_path along; it makes a state topic of an event topic, but cannot be taken away; a key makes a keyed topic of a state topic. durable => false, and other parameters, forget the numbers of a durable topic''s messages: who resumes is told of a gap. shape: decided again with another query, but text that was a value stays one. owner: as whom the query runs from then on; the caller owns the topic and can SET ROLE to the new owner, who has CREATE on the database; a superuser may, also if the old owner was dropped';

CREATE FUNCTION rtd_drop_topic(name text, if_exists boolean = false) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_drop_topic(text, boolean) IS
    'drops a topic of the caller with its watches, channels, grants and retained messages';

-- The front door

CREATE FUNCTION rtd_serve_table(
    relation regclass, role regrole, topic text = NULL, columns text[] = NULL,
    condition text = NULL) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_serve_table(regclass, regrole, text, text[], text) IS
    'makes a table live: a keyed topic of its rows by the primary key (a state topic without one), watched, and granted to the role; a NOTICE says what was made and where clients find it. A second call replaces query, key and security of a topic that this function made of this table, makes the watch anew, keeps all other options and grants, and grants it to the role too; an event topic that only rtd_watch_table() of this table feeds becomes such a topic. The caller has CREATE on the database, TRIGGER and SELECT on the table, and owns the topic if it exists. If the table has row-level security, the query runs as the role of each subscriber, who needs SELECT on the table. topic: default the table''s name with - for _. columns: what clients get, as ''title'' or ''title AS name''; default all columns, later ones too; the primary key is added. condition: an SQL expression over the table''s columns, as after WHERE: only rows for which it is true are sent. Raises wrong_object_type for what is no table of users, duplicate_object for a topic that something else made, undefined_column, syntax_error for a condition that is not one expression';

-- Sources

CREATE FUNCTION rtd_watch_table(
    relation regclass, topic text = NULL, columns text[] = NULL, parameters text[] = NULL,
    operations text[] = '{INSERT,UPDATE,DELETE,TRUNCATE}', condition text = NULL,
    channel text = NULL, audit boolean = false) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_watch_table(regclass, text, text[], text[], text[], text, text, boolean) IS
    'makes every change of a table an event of a topic; a second call replaces the first. The caller owns the topic and has TRIGGER on the table. topic: default the table''s name with - for _, created as an event topic if it does not exist. columns: what an event carries, as ''id'', ''id AS review_id'', or ''TABLE AS table'' for the table''s name; default the primary key; the leading columns of the primary key, or else the first column, are the key. parameters: the column for each parameter of the topic, NULL matches every value; default the columns named like the parameters. condition: the WHEN clause of the trigger, with NEW and OLD. channel: also NOTIFY with the payload. audit: also a row in rtd_audit_log. A watch covers partitions, but neither inheriting tables nor TRUNCATE of a single partition';

CREATE FUNCTION rtd_unwatch_table(relation regclass, topic text = NULL) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_unwatch_table(regclass, text) IS
    'ends the watch of a table into a topic, or into all topics; for the owner of either';

CREATE FUNCTION rtd_listen(channel text, topic text, parameters text[] = '{}') RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_listen(text, text, text[]) IS
    'makes every NOTIFY on a channel an event of a topic of the caller. parameters: for each parameter of the topic, the field of the JSON payload that holds it';

CREATE FUNCTION rtd_unlisten(channel text, topic text = NULL) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_unlisten(text, text) IS 'ends rtd_listen() for a topic, or for all topics of the channel';

-- Events

CREATE FUNCTION rtd_broadcast(
    topic text, data jsonb, params text[] = '{}', type text = NULL, source text = 'event',
    transactional boolean = true) RETURNS bigint
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_broadcast(text, jsonb, text[], text, text, boolean) IS
    'sends a message to the subscribers of a topic, or of one instance of it, when the transaction commits; at once with transactional => false, which a durable topic refuses. Needs the privilege publish. Returns the number of subscribers now';

CREATE FUNCTION rtd_refresh(topic text, params text[] = NULL) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_refresh(text, text[]) IS
    'says that a state topic changed: it is queried, and sent if the result differs. params NULL: all instances. Needs the privilege publish';

CREATE FUNCTION rtd_file_event(path text, event text = 'modified', topic text = NULL) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_file_event(text, text, text) IS
    'says that a file was created, modified, deleted or moved, as an event of a topic, which must be named. Needs the privilege publish';

-- Privileges

CREATE FUNCTION rtd_grant(topic text, role regrole, privilege text = 'subscribe') RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_grant(text, regrole, text) IS
    'lets a role and its members subscribe or publish to a topic of the caller';

CREATE FUNCTION rtd_revoke(topic text, role regrole, privilege text = 'subscribe') RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_revoke(text, regrole, text) IS 'takes back what rtd_grant() gave';

-- Readiness

CREATE FUNCTION rtd_wait_until_ready(timeout interval = '10 s') RETURNS boolean
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION rtd_wait_until_ready(interval) IS
    'waits until an event really travels through rtd; false after the timeout';

-- Views

CREATE FUNCTION rtd_watch_problem(relation regclass, columns text[], parameters text[]) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION rtd_watch_problem(regclass, text[], text[]) IS
    'for rtd_watched_tables: which columns of a watch are not there any more; NULL if all are';

CREATE FUNCTION rtd_topic_problem(topic text) RETURNS text
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION rtd_topic_problem(text) IS
    'for rtd_topics: what is wrong with a topic''s owner or query; NULL if nothing is';

-- Whoever may create functions and operators in the extension's schema must not make those that the
-- views call: one that takes just these types would be preferred to one of pg_catalog.
-- %1$s is the schema, whose name may have quotes in it.
DO $do$
DECLARE
    schema text := pg_catalog.quote_ident(pg_catalog.current_schema());
    path text := pg_catalog.current_setting('search_path');
    object record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    EXECUTE format($view$
CREATE VIEW %1$s.rtd_watched_tables AS
SELECT w.relation, w.topic, w.columns, w.parameters, w.operations, w.condition, w.channel, w.audit,
       w.key, t.trigger_exists, t.trigger_exists AND t.enabled AND swapped.other IS NULL AS enabled,
       nullif(concat_ws('; ', CASE WHEN c.oid IS NULL THEN 'the table was dropped'
                                   WHEN NOT t.trigger_exists THEN 'the trigger was dropped'
                                   WHEN NOT t.enabled THEN 'the trigger is disabled'
                                   WHEN t.per_statement AND EXISTS (
                                        SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = w.relation)
                                   THEN 'the table became a partition or a child: writes through its parent are not seen' END,
                              CASE WHEN c.relrowsecurity AND w.topic IN (
                                        SELECT s.topic FROM %1$s.rtd_served_table s JOIN %1$s.rtd_topic o ON o.name = s.topic
                                         WHERE s.relation = w.relation AND o.security = 'definer')
                                   THEN 'the table got row-level security, which the topic bypasses: call rtd_serve_table() again' END,
                              CASE WHEN swapped.other IS NOT NULL
                                   THEN format('another table has the name %%I.%%I now, which is not watched: '
                                               'rtd_watch_table() of that one watches it', w.schema_name, w.table_name) END,
                              CASE WHEN c.oid IS NOT NULL
                                   THEN %1$s.rtd_watch_problem(w.relation, w.columns, w.parameters) END),
              '') AS problem
  FROM %1$s.rtd_watch w
  LEFT JOIN pg_catalog.pg_class c ON c.oid = w.relation
  LEFT JOIN LATERAL (
       SELECT o.oid AS other
         FROM pg_catalog.pg_class o
         JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
        WHERE n.nspname = w.schema_name AND o.relname = w.table_name
          AND o.oid <> w.relation AND o.relkind IN ('r', 'p')) swapped ON true
 CROSS JOIN LATERAL (
       SELECT count(*) >= (w.operations && '{INSERT,UPDATE,DELETE}')::integer
                          + ('TRUNCATE' = ANY (w.operations))::integer AS trigger_exists,
              coalesce(bool_and(g.tgenabled IN ('O', 'A')), false) AS enabled,
              bool_or(g.tgtype & 1 = 0 AND g.tgtype & 28 <> 0) AS per_statement -- of INSERT, DELETE, UPDATE
         FROM pg_catalog.pg_trigger g
        WHERE g.tgrelid = w.relation
          AND g.tgfoid = %2$s::regprocedure
          AND g.tgargs = convert_to(w.topic, 'SQL_ASCII') || '\x00'::bytea) t
    $view$, schema, quote_literal(schema || '.rtd_trigger()'));
    EXECUTE format($view$
CREATE VIEW %1$s.rtd_topics AS
SELECT t.name, t.kind, t.type, t.parameters, t.parameter_types, t.owner, t.query, t.key, t.shape, t.security, t.search_path, t.throttle, t.debounce,
       t.refresh, t.significant || '(jsonb,jsonb)' AS significant, t.retain, t.history, t.durable, t.version, t.created_at,
       t.refresh IS NOT NULL
       OR EXISTS (SELECT FROM %1$s.rtd_watched_tables w WHERE w.topic = t.name AND w.enabled)
       OR EXISTS (SELECT FROM %1$s.rtd_channel c WHERE c.topic = t.name)
       OR EXISTS (SELECT FROM %1$s.rtd_topic_grant g WHERE g.topic = t.name AND g.privilege = 'publish')
       AS has_source,
       %1$s.rtd_topic_problem(t.name) AS problem
  FROM %1$s.rtd_topic t
    $view$, schema);
    -- ALTER DEFAULT PRIVILEGES may have granted to roles what is not theirs: whoever writes rtd_topic
    -- is every topic's owner, and whoever makes a trigger on it is the extension's.
    FOR object IN
        SELECT CASE WHEN c.oid IS NOT NULL THEN 'TABLE ' || c.oid::regclass ELSE 'FUNCTION ' || p.oid::regprocedure END AS name,
               CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS role
          FROM pg_depend d
          LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
          LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
                             AND p.proname IN ('rtd_catalog_changed', 'rtd_catalog_trigger', 'rtd_restore_trigger')
         CROSS JOIN LATERAL (
               SELECT DISTINCT a.grantee FROM aclexplode(coalesce(c.relacl, p.proacl)) a
                WHERE a.grantee <> coalesce(c.relowner, p.proowner)) g
         WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
           AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'rtd')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', object.name, object.role);
    END LOOP;
    PERFORM set_config('search_path', path, true);
END $do$;

COMMENT ON VIEW rtd_watched_tables IS 'watched tables, and why one of them makes no events, or incomplete ones';
COMMENT ON COLUMN rtd_watched_tables.enabled IS 'the triggers are there and enabled, and no other table has taken the name of theirs';
COMMENT ON COLUMN rtd_watched_tables.key IS 'into a keyed topic: the columns that tell which of its rows a change concerns; NULL: every change reads it again as a whole';
COMMENT ON COLUMN rtd_watched_tables.problem IS 'NULL if all is well; rtd_watch_table() called again repairs it';

COMMENT ON VIEW rtd_topics IS 'topics and their options';
COMMENT ON COLUMN rtd_topics.problem IS 'the owner was dropped, or the query fails because of what it depends on; NULL if all is well';
COMMENT ON COLUMN rtd_topics.has_source IS
    'something can make the topic send: a watched table with working triggers, a channel, a timer, or a role granted publish. If false, only its owner can, by hand';

GRANT SELECT ON rtd_topics, rtd_watched_tables TO PUBLIC;

-- A running hub notices the extension.
SELECT rtd_catalog_changed();
