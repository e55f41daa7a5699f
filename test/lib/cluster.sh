# A throw-away PostgreSQL cluster for shell scripts: a temporary directory, a Unix socket, no TCP.
#
# Sourced. cluster_start creates and starts one, cluster_stop ends and removes it; only the process
# that was started here is ever signalled. The server refuses to run as root, so root starts it as
# the user postgres (CLUSTER_USER).
#
# Sets: CLUSTER (directory), CLUSTER_LOG, PGHOST, PGPORT and PGUSER for psql and friends.

PG_CONFIG=${PG_CONFIG:-pg_config}

as_server() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u "${CLUSTER_USER:-postgres}" -- "$@"
    else
        "$@"
    fi
}

# A loopback port nobody listens on: the first free one from $1 upwards.
free_port() {
    port=$1
    while grep -qi ":$(printf %04X "$port") [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null; do
        port=$((port + 1))
    done
    echo "$port"
}

cluster_start() { # setting=value ...
    bin=$("$PG_CONFIG" --bindir)
    CLUSTER=$(mktemp -d "${TMPDIR:-/tmp}/rtd-cluster-XXXXXX")
    CLUSTER_LOG=$CLUSTER/server.log
    chmod 755 "$CLUSTER"
    if [ "$(id -u)" = 0 ]; then
        chown "${CLUSTER_USER:-postgres}" "$CLUSTER"
    fi
    as_server "$bin/initdb" --no-sync --username=postgres --auth=trust --encoding=UTF8 --locale=C \
        --pgdata="$CLUSTER/data" >"$CLUSTER/initdb.log" || {
        cat "$CLUSTER/initdb.log" >&2
        return 1
    }
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$CLUSTER'"
        echo "fsync = off"
        echo "logging_collector = off"
        for setting in "$@"; do
            echo "${setting%%=*} = '${setting#*=}'"
        done
    } | as_server tee -a "$CLUSTER/data/postgresql.conf" >/dev/null
    as_server "$bin/pg_ctl" start --silent --wait --pgdata="$CLUSTER/data" --log="$CLUSTER_LOG" || {
        cat "$CLUSTER_LOG" >&2
        return 1
    }
    PGHOST=$CLUSTER PGPORT=5432 PGUSER=postgres
    export PGHOST PGPORT PGUSER
}

cluster_stop() {
    [ -n "${CLUSTER:-}" ] || return 0
    if [ -f "$CLUSTER/data/postmaster.pid" ]; then
        as_server "$("$PG_CONFIG" --bindir)/pg_ctl" stop --silent --mode=fast --pgdata="$CLUSTER/data" ||
            as_server "$("$PG_CONFIG" --bindir)/pg_ctl" stop --silent --mode=immediate --pgdata="$CLUSTER/data" || true
    fi
    rm -rf "$CLUSTER"
    CLUSTER=
}
