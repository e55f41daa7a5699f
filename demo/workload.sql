-- A small web builder at work: a procedure that changes the demo's tables for ever, a few commits a
-- second. Started by demo/run, ended by ending its session.

INSERT INTO planned_features (title, priority)
    SELECT 'Feature ' || n, n % 5 FROM generate_series(1, 12) AS n;
INSERT INTO pattern_review (pattern_id, description)
    SELECT 'pattern-' || n, 'Seen ' || n * 3 || ' times' FROM generate_series(1, 6) AS n;
INSERT INTO phase_queue (queue_id, phase)
    SELECT 'issue-' || n, 'plan' FROM generate_series(1, 4) AS n;
INSERT INTO generation_sessions (session_id, project_id) VALUES ('session-1', 'project-1');
INSERT INTO generation_todos (session_id, content)
    SELECT 'session-1', 'Step ' || n FROM generate_series(1, 5) AS n;

SELECT rtd_broadcast('routes', '[{"path": "/", "name": "Home"}, {"path": "/features", "name": "Features"}]');

CREATE PROCEDURE demo_work() LANGUAGE plpgsql AS $$
DECLARE
    turn bigint := 0;
    statuses text[] := '{pending,analyzing,completed,failed}';
BEGIN
    LOOP
        turn := turn + 1;

        UPDATE planned_features
            SET priority = (priority + 1) % 5,
                status = (ARRAY['planned', 'in_progress', 'completed'])[1 + turn % 3]
            WHERE id = 1 + turn % 12;
        INSERT INTO workflow_history (workflow_id, branch_name, plan_file, issue_class, current_cost)
            VALUES ('workflow-' || turn % 60, 'feature/' || turn, 'plans/' || turn || '.md', 'feature', 0)
            ON CONFLICT (workflow_id) DO UPDATE
            SET current_cost = workflow_history.current_cost + 0.0125, started_at = now(),
                status = (ARRAY['running', 'completed', 'failed'])[1 + turn % 3];
        COMMIT;
        PERFORM pg_sleep(0.3);

        UPDATE phase_queue
            SET status = (ARRAY['queued', 'running', 'done'])[1 + turn % 3],
                phase = (ARRAY['plan', 'build', 'test', 'ship'])[1 + turn % 4]
            WHERE queue_id = 'issue-' || 1 + turn % 4;
        INSERT INTO context_analysis (id, status) VALUES (42, 'pending')
            ON CONFLICT (id) DO UPDATE SET status = statuses[1 + turn % 4], updated_at = now();
        UPDATE generation_todos SET done = NOT done WHERE todo_id = 1 + turn % 5;
        COMMIT;
        PERFORM pg_sleep(0.3);

        UPDATE pattern_review
            SET status = CASE status WHEN 'pending' THEN 'approved' ELSE 'pending' END
            WHERE pattern_id = 'pattern-' || 1 + turn % 6;
        PERFORM rtd_broadcast('workflows', jsonb_build_array(
            jsonb_build_object('name', 'build', 'run', turn), jsonb_build_object('name', 'review', 'run', turn / 2)));
        PERFORM rtd_broadcast('system-status', jsonb_build_object('healthy', true, 'load', round(random()::numeric, 2)));
        PERFORM rtd_broadcast('webhook-status', jsonb_build_object('delivered', turn, 'failed', 0));
        PERFORM rtd_broadcast('adw-monitor', jsonb_build_object(
            'adw_id', 'adw-7', 'current_phase', (ARRAY['plan', 'build', 'test', 'ship'])[1 + turn % 4],
            'status', 'running', 'metadata', jsonb_build_object('current_cost', turn * 0.0125, 'phase_cost', 0.0125)));
        PERFORM rtd_broadcast('adw-state', jsonb_build_object('adw_id', 'adw-7', 'turn', turn), '{adw-7}');
        COMMIT;
        PERFORM pg_sleep(0.4);
    END LOOP;
END
$$;
CALL demo_work();
