# Debian packages that building, testing and the demo need, and how they get installed.
#
# Sourced by test/run and demo/run. install_missing GROUP... installs what is not there and nothing
# else; where all is there, neither apt nor sudo is called. What is installed is said before it is.

# as_root COMMAND...: directly as root, otherwise through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The server's major version: of the pg_config in use, or the one that Debian 12 ships.
pg_major() {
    major=$("${PG_CONFIG:-pg_config}" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
    echo "${major:-15}"
}

# group, package, how to see that it is there without asking dpkg (- asks dpkg), why.
packages() {
    major=$(pg_major)
    cat <<END
build build-essential - compiler, linker and make
build libuv1-dev - the gateway's event loop
build libwslay-dev - reads the WebSocket frames of clients
build libjansson-dev - JSON checks in module and gateway
build zlib1g-dev - compressed WebSocket messages
build libssl-dev - TLS and hashes in the gateway; included by the server's headers
build libkrb5-dev - included by the server's headers
server postgresql-$major server the server, psql, pgbench and contrib modules
server postgresql-server-dev-$major server PGXS and the server's headers
test libgtest-dev - unit tests of core and gateway
test postgresql-$major-pgtap pgtap tests of the catalog contracts
test libtap-parser-sourcehandler-pgtap-perl pg_prove pg_prove, which runs them
test openssl openssl makes certificates for the tests
test ca-certificates - npm fetches over https
test nodejs node end-to-end tests
test npm npm installs the test's packages from the lock file
test chromium chromium the demo page in a real browser
peers python3-fastapi - bench/fanout compares with it
peers uvicorn - FastAPI's server
peers python3-uvloop - its faster event loop
peers python3-httptools - its faster HTTP parser
peers python3-websockets - its WebSocket
peers python3-asyncpg - LISTEN from Python
fuzz clang clang++ the fuzzers
fuzz libclang-rt-14-dev - libFuzzer and the sanitizers of clang
END
}

is_installed() { # package, probe
    case $2 in
    -) dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed ;;
    # A server from elsewhere, named by PG_CONFIG, is as good as Debian's if it is whole.
    server) config=${PG_CONFIG:-pg_config} && command -v "$config" >/dev/null &&
        [ -x "$("$config" --bindir)/postgres" ] && [ -f "$("$config" --pgxs)" ] ;;
    pgtap) config=${PG_CONFIG:-pg_config} && command -v "$config" >/dev/null &&
        [ -f "$("$config" --sharedir)/extension/pgtap.control" ] ;;
    *) command -v "$2" >/dev/null ;;
    esac
}

missing_packages() { # group...
    packages | while read -r group package probe why; do
        case " $* " in *" $group "*) ;; *) continue ;; esac
        is_installed "$package" "$probe" || echo "$package $why"
    done
}

install_missing() { # group...
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "These Debian packages (or what they are called here) are missing:" >&2
        echo "$missing" >&2
        return 1
    fi
    echo "Installing Debian packages that are missing:"
    echo "$missing" | sed 's/ / - /; s/^/  /'
    names=$(echo "$missing" | cut -d ' ' -f 1)

    # Debian starts a cluster when a server is installed. Nobody asked for that one here.
    no_cluster=
    if echo "$names" | grep -qx 'postgresql-[0-9]*' && [ ! -e /etc/postgresql-common/createcluster.d/rtd.conf ]; then
        no_cluster=/etc/postgresql-common/createcluster.d/rtd.conf
        as_root mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    fi
    status=0
    as_root apt-get update -q || status=$?
    # shellcheck disable=SC2086 # one word per package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $names || status=$?
    [ -z "$no_cluster" ] || as_root rm -f "$no_cluster"
    return $status
}

# Builds the extension and installs it into the PostgreSQL of PG_CONFIG. Says little.
build_and_install() {
    config=${PG_CONFIG:-pg_config}
    make --no-print-directory -s -j"$(nproc)" PG_CONFIG="$config" || return
    if [ -w "$("$config" --pkglibdir)" ]; then
        make --no-print-directory -s install PG_CONFIG="$config" >/dev/null
    else
        as_root make --no-print-directory -s install PG_CONFIG="$config" >/dev/null
    fi
}
