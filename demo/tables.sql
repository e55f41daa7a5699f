-- The tables of a web builder whose panels want to be live: ordinary tables, nothing of rtd in them.
-- The demo and the end-to-end tests use them.

CREATE TABLE planned_features (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    status text NOT NULL DEFAULT 'planned', -- planned, in_progress, completed
    priority integer NOT NULL DEFAULT 0
);

CREATE TABLE pattern_review (
    pattern_id text PRIMARY KEY,
    description text NOT NULL,
    status text NOT NULL DEFAULT 'pending' -- pending, approved, rejected
);

CREATE TABLE workflow_history (
    workflow_id text PRIMARY KEY,
    status text NOT NULL DEFAULT 'running', -- running, completed, failed
    branch_name text,
    plan_file text,
    issue_class text,
    current_cost numeric(10, 4) NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE phase_queue (
    queue_id text PRIMARY KEY,
    phase text NOT NULL,
    status text NOT NULL DEFAULT 'queued' -- queued, running, done
);

CREATE TABLE context_analysis (
    id integer PRIMARY KEY,
    status text NOT NULL DEFAULT 'pending', -- pending, analyzing, completed, failed
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A session of the generator and what belongs to it. Todos and tool calls know only their session.
CREATE TABLE generation_sessions (
    session_id text PRIMARY KEY,
    project_id text NOT NULL,
    status text NOT NULL DEFAULT 'active'
);

CREATE TABLE generation_todos (
    todo_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL REFERENCES generation_sessions,
    content text NOT NULL,
    done boolean NOT NULL DEFAULT false
);

CREATE TABLE generation_tool_calls (
    call_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL REFERENCES generation_sessions,
    tool text NOT NULL
);

CREATE TABLE generation_notes (
    note_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id text NOT NULL,
    session_id text NOT NULL REFERENCES generation_sessions,
    note text NOT NULL
);
