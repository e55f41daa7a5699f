#!/bin/sh
# What pg_dump keeps: topics, grants, channels, watches and their triggers come back, rows of dropped
# tables do not, and the restored table works. Speaks TAP. Needs a server (PGHOST, PGPORT, PGUSER: a
# superuser) that has rtd installed, and makes two databases of its own.
set -eu
source=rtd_dump_source target=rtd_dump_target existing=rtd_dump_existing
run() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$@"; }
clean() {
    dropdb --if-exists --force "$source" && dropdb --if-exists --force "$target" &&
        dropdb --if-exists --force "$existing" || true
    run postgres -c 'DROP ROLE IF EXISTS regress_rtd_dump, regress_rtd_gone'
}
failures=0 number=0
is() { # description, expected, actual
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $1"
    else
        failures=$((failures + 1))
        printf 'not ok %s - %s\n# expected:\n%s\n# got:\n%s\n' "$number" "$1" "$2" "$3"
    fi
}
clean 2>/dev/null
trap 'clean 2>/dev/null' EXIT
createdb "$source"
createdb "$target"

PGOPTIONS='-c client_min_messages=error' run "$source" >/dev/null <<'SQL'
CREATE SCHEMA hub;
CREATE EXTENSION rtd SCHEMA hub;
CREATE ROLE regress_rtd_dump;
CREATE ROLE regress_rtd_gone;
SET search_path = hub, public;
CREATE TABLE public.item (id int PRIMARY KEY, project text, label text);
CREATE TABLE public.dropped (id int PRIMARY KEY);
SELECT rtd_create_topic('items', 'SELECT * FROM item WHERE project = $1', parameters => '{project}');
SELECT rtd_create_topic('log', durable => true), rtd_broadcast('log', '1');
SELECT rtd_grant('items', 'regress_rtd_dump');
SELECT rtd_grant('items', 'regress_rtd_gone');
SELECT rtd_listen('item_channel', 'items', '{project}');
SELECT rtd_watch_table('item', 'items', columns => '{id AS item_id,label}', condition => 'NEW.id > 0',
    operations => '{INSERT,UPDATE}', audit => true);
SELECT rtd_watch_table('dropped');
CREATE TABLE public.served (id int PRIMARY KEY);
SELECT rtd_serve_table('served', 'regress_rtd_dump');
INSERT INTO item VALUES (1, 'p', 'one');
DROP TABLE dropped;
DROP ROLE regress_rtd_gone;
SQL

pg_dump -Fc "$source" | pg_restore --exit-on-error -d "$target"
everything='SET search_path = hub, public;
    SELECT * FROM rtd_topic ORDER BY name; SELECT * FROM rtd_channel;
    SELECT * FROM rtd_audit_log; SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = '"'item'"'::regclass;
    SELECT relation, topic, columns, parameters, operations, condition, channel, audit, problem
      FROM rtd_watched_tables WHERE topic = '"'items'"''
is 'topics, channels, watches and triggers come back' "$(run "$source" -c "$everything")" \
    "$(run "$target" -c "$everything")"
is 'a grant to a dropped role does not' 'items|regress_rtd_dump|subscribe' \
    "$(run "$target" -c "SELECT * FROM hub.rtd_topic_grant WHERE topic = 'items'")"
is 'a watch of a dropped table does not' 'item,served' \
    "$(run "$target" -c "SELECT string_agg(relation::text, ',' ORDER BY relation::text) FROM hub.rtd_watch")"
PGOPTIONS='-c client_min_messages=error' run "$target" \
    -c "SELECT hub.rtd_serve_table('served', 'regress_rtd_dump', columns => '{id AS served_id}')"
is 'a served table is known as one: a second call changes its topic' 'keyed|{served_id}' \
    "$(run "$target" -c "SELECT kind, key FROM hub.rtd_topics WHERE name = 'served'")"
PGOPTIONS='-c client_min_messages=error' run "$target" -c "INSERT INTO item VALUES (2, 'p', 'two')"
is 'a write to the restored table is seen, and numbered on' 'public.item|INSERT|{"item_id": 2}|2' \
    "$(run "$target" -c 'SELECT relation, action, key, id FROM hub.rtd_audit_log ORDER BY id DESC LIMIT 1')"
is 'a durable topic comes back, its messages do not: a copy must not give their ids to others' 't|0|0' \
    "$(run "$target" -c "SELECT durable, (SELECT count(*) FROM hub.rtd_message),
        (SELECT count(*) FROM hub.rtd_durable_instance) FROM hub.rtd_topic WHERE name = 'log'")"
PGOPTIONS='-c client_min_messages=error' run "$target" -c "SELECT hub.rtd_broadcast('log', '2')" >/dev/null
is 'and takes new ones' '2' "$(run "$target" -c 'SELECT data FROM hub.rtd_message')"

# --data-only, into a database that was made by migrations: extension, tables and some topics are there.
createdb "$existing"
PGOPTIONS='-c client_min_messages=error' run "$existing" >/dev/null <<'SQL'
CREATE SCHEMA hub;
CREATE EXTENSION rtd SCHEMA hub;
SET search_path = hub, public;
CREATE TABLE public.item (id int PRIMARY KEY, project text, label text);
CREATE TABLE public.served (id int PRIMARY KEY);
SELECT rtd_create_topic('items', 'SELECT id FROM item WHERE project = $1', parameters => '{project}'),
       rtd_create_topic('mine'), rtd_grant('mine', 'regress_rtd_dump');
SELECT rtd_watch_table('item', 'items', audit => true), rtd_listen('my_channel', 'mine');
INSERT INTO item VALUES (10, 'p', 'mine');
DELETE FROM item;
SQL
PGOPTIONS='-c client_min_messages=error' pg_dump -Fc --data-only "$source" >"${TMPDIR:-/tmp}/rtd_dump.$$"
audited="SELECT coalesce(key ->> 'id', key ->> 'item_id'), action FROM hub.rtd_audit_log
    WHERE action <> 'TRUNCATE' AND (key ->> 'id' = '10' OR key ? 'item_id') ORDER BY id"
for round in first second; do
    PGOPTIONS='-c client_min_messages=error' pg_restore --data-only --exit-on-error -d "$existing" \
        "${TMPDIR:-/tmp}/rtd_dump.$$" >"${TMPDIR:-/tmp}/rtd_dump.$$.log" 2>&1 && status=0 || status=$?
    is "--data-only over topics that exist succeeds ($round time)" 0 \
        "$status$(cat "${TMPDIR:-/tmp}/rtd_dump.$$.log")"
    [ $round = second ] || is 'the audit log has what was there, and what came' '10|INSERT
10|DELETE
1|INSERT' "$(run "$existing" -c "$audited")"
    PGOPTIONS='-c client_min_messages=error' run "$existing" -c 'TRUNCATE item'
done
rm -f "${TMPDIR:-/tmp}/rtd_dump.$$" "${TMPDIR:-/tmp}/rtd_dump.$$.log"
is 'a topic that exists stays, the others come in' 'items|SELECT id FROM item WHERE project = $1
log|
mine|
served|SELECT * FROM ONLY public.served' "$(run "$existing" -c "SELECT name, query FROM hub.rtd_topic WHERE name <> 'dropped' ORDER BY name")"
is 'so do grants and channels' 'items|regress_rtd_dump
mine|regress_rtd_dump
served|regress_rtd_dump
item_channel|items
my_channel|mine' "$(run "$existing" -c 'SELECT topic, role FROM hub.rtd_topic_grant ORDER BY 1' \
    -c 'SELECT channel, topic FROM hub.rtd_channel ORDER BY 1')"
is 'a watch that exists stays, and has its trigger' 't||{id}' \
    "$(run "$existing" -c "SELECT enabled, problem, columns FROM hub.rtd_watched_tables WHERE topic = 'items'")"
PGOPTIONS='-c client_min_messages=error' run "$existing" -c "SELECT pg_catalog.setval('hub.rtd_audit_log_id_seq', 1, false)" >/dev/null
PGOPTIONS='-c client_min_messages=error' run "$existing" -c "INSERT INTO item VALUES (11, 'p', 'after')"
is 'an audited write goes on behind the ids that are used' '{"id": 11}|t' \
    "$(run "$existing" -c 'SELECT key, id = (SELECT max(id) FROM hub.rtd_audit_log) FROM hub.rtd_audit_log ORDER BY changed_at DESC LIMIT 1')"

run "$target" -c 'DROP EXTENSION rtd'
is 'the restored triggers still depend on the extension' '0' \
    "$(run "$target" -c "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass")"
echo "1..$number"
[ "$failures" = 0 ]
