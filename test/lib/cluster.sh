# A throw-away PostgreSQL cluster for shell scripts: a temporary directory, a Unix socket, no TCP.
#
# Sourced. cluster_start creates and starts one, cluster_stop ends and removes it; only the process
# that was started here is ever signalled. The server refuses to run as root, so root starts it as
# the user postgres (CLUSTER_USER).
#
# Needs PG_CONFIG, which choose_server of test/lib/deps.sh sets.
# Sets: CLUSTER (directory), CLUSTER_LOG, PGHOST, PGPORT and PGUSER for psql and friends.

# In a folder that the server's user can enter: the tree may lie where it cannot.
as_server() (
    cd /
    if [ "$(id -u)" = 0 ]; then
        runuser -u "${CLUSTER_USER:-postgres}" -- "$@"
    else
        "$@"
    fi
)

# A new folder that the server's user can reach, in TMPDIR if that is one, else in /tmp.
cluster_folder() {
    if [ "$(id -u)" = 0 ] && ! id "${CLUSTER_USER:-postgres}" >/dev/null 2>&1; then
        echo "A server does not run as root, and there is no user ${CLUSTER_USER:-postgres}: CLUSTER_USER names another." >&2
        return 1
    fi
    for parent in "${TMPDIR:-/tmp}" /tmp; do
        if as_server test -x "$parent"; then
            mktemp -d "$parent/rtd-cluster-XXXXXX"
            return
        fi
    done
    echo "The server's user can enter neither ${TMPDIR:-/tmp} nor /tmp." >&2
    return 1
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
    bin=$("$PG_CONFIG" --bindir) || return
    CLUSTER=$(cluster_folder) || return
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
