-- What the panels of the web builder subscribe to: twelve topics over the tables of tables.sql, each
-- visible to clients that have not signed in. State topics have a query; event topics are pushed.

SELECT rtd_create_topic('planned-features', query => $$
    SELECT jsonb_build_object(
        'features', coalesce((SELECT jsonb_agg(to_jsonb(newest) ORDER BY newest.id DESC)
                              FROM (SELECT * FROM planned_features ORDER BY id DESC LIMIT 200) newest), '[]'),
        'stats', (SELECT jsonb_build_object(
                      'total', count(*),
                      'in_progress', count(*) FILTER (WHERE status = 'in_progress'),
                      'completed', count(*) FILTER (WHERE status = 'completed'))
                  FROM planned_features))
$$);
SELECT rtd_watch_table('planned_features', channel => 'planned_features_changed');

SELECT rtd_create_topic('pattern-review', query => $$
    SELECT jsonb_build_object(
        'patterns', coalesce((SELECT jsonb_agg(to_jsonb(pending) ORDER BY pending.pattern_id)
                              FROM (SELECT * FROM pattern_review WHERE status = 'pending'
                                    ORDER BY pattern_id LIMIT 20) pending), '[]'),
        'stats', (SELECT jsonb_build_object(
                      'pending', count(*) FILTER (WHERE status = 'pending'),
                      'approved', count(*) FILTER (WHERE status = 'approved'),
                      'rejected', count(*) FILTER (WHERE status = 'rejected'))
                  FROM pattern_review))
$$);
SELECT rtd_watch_table('pattern_review', channel => 'pattern_review_changed');

SELECT rtd_create_topic('workflow-history', query => $$
    SELECT jsonb_build_object(
        'workflows', coalesce((SELECT jsonb_agg(to_jsonb(newest) ORDER BY newest.started_at DESC, newest.workflow_id)
                               FROM (SELECT * FROM workflow_history
                                     ORDER BY started_at DESC, workflow_id LIMIT 50) newest), '[]'),
        'total', (SELECT count(*) FROM workflow_history))
$$);
SELECT rtd_watch_table('workflow_history', channel => 'workflow_history_changed');

-- A query of several columns becomes an array of objects.
SELECT rtd_create_topic('queue', query => $$
    SELECT queue_id, phase, status FROM phase_queue ORDER BY queue_id
$$);
SELECT rtd_watch_table('phase_queue', topic => 'queue', channel => 'phase_queue_changed');

-- One instance for each review. A review that does not exist yet is pending.
SELECT rtd_create_topic('context-analysis', parameters => '{review_id}', query => $$
    SELECT jsonb_build_object(
        'review_id', $1::text,
        'status', coalesce(review.status, 'pending'),
        'timestamp', coalesce(to_char(review.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), ''))
    FROM (SELECT) AS always LEFT JOIN context_analysis AS review ON review.id::text = $1
$$);
SELECT rtd_watch_table('context_analysis', columns => '{id AS review_id,status}', parameters => '{id}',
                       operations => '{INSERT,UPDATE}', channel => 'context_analysis_changed');

-- Pushed by the application, kept for whoever comes later.
SELECT rtd_create_topic('workflows');
SELECT rtd_create_topic('routes');
SELECT rtd_create_topic('system-status');
SELECT rtd_create_topic('webhook-status');
SELECT rtd_create_topic('adw-monitor');
SELECT rtd_create_topic('adw-state', parameters => '{adw_id}');

SELECT rtd_create_topic('generation-state', parameters => '{project_id,session_id}', query => $$
    SELECT jsonb_build_object('project_id', $1::text, 'session_id', $2::text, 'state', jsonb_build_object(
        'status', (SELECT status FROM generation_sessions WHERE project_id = $1 AND session_id = $2),
        'todos', coalesce((SELECT jsonb_agg(jsonb_build_object('content', content, 'done', done) ORDER BY todo_id)
                           FROM generation_todos WHERE session_id = $2), '[]'),
        'tool_calls', coalesce((SELECT jsonb_agg(tool ORDER BY call_id)
                                FROM generation_tool_calls WHERE session_id = $2), '[]'),
        'notes', coalesce((SELECT jsonb_agg(note ORDER BY note_id)
                           FROM generation_notes WHERE project_id = $1 AND session_id = $2), '[]')))
$$);
-- A NULL parameter matches every value: todos and tool calls do not say which project they are of.
SELECT rtd_watch_table('generation_sessions', topic => 'generation-state',
                       columns => '{session_id,project_id,TABLE AS table}',
                       parameters => '{project_id,session_id}', channel => 'generation_updates');
SELECT rtd_watch_table('generation_todos', topic => 'generation-state',
                       columns => '{todo_id,session_id,TABLE AS table}',
                       parameters => '{NULL,session_id}', channel => 'generation_updates');
SELECT rtd_watch_table('generation_tool_calls', topic => 'generation-state',
                       columns => '{call_id,session_id,TABLE AS table}',
                       parameters => '{NULL,session_id}', channel => 'generation_updates');
SELECT rtd_watch_table('generation_notes', topic => 'generation-state',
                       columns => '{note_id,project_id,session_id,TABLE AS table}',
                       parameters => '{project_id,session_id}', channel => 'generation_updates');

SELECT rtd_grant(name, 'web_anon') FROM rtd_topics;
