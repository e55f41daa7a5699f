# Which PostgreSQL is used, what building, testing and the demo need, and how it gets installed.
#
# Sourced by test/run, demo/run, the benchmarks and, for its first half, by the Makefile.
#
# choose_server sets and exports PG_CONFIG: the pg_config of one server, whose headers, programs and
# contrib modules are then used everywhere, so that no two parts use different major versions.
# install_missing GROUP... calls it, and installs what is not there and nothing else; where all is
# there, neither apt nor sudo is called. What is installed is said before it is.
#
# A package is judged by the very files that are used, never by its name: a server may come from
# elsewhere, a package may be half there, and files move between packages from release to release.

# What the caller asked for, before choose_server sets it.
PG_CONFIG_GIVEN=${PG_CONFIG:-}
# Debian has one folder for each major version of the server here. DEPS_ROOT is another root, for tests.
PG_ROOT=${DEPS_ROOT:-}/usr/lib/postgresql

# ---- which server ----

# What a pg_config says, in pg_version, pg_bindir, pg_sharedir, pg_headers and pgxs; empty if there is
# none, or if it only says what to install.
ask_pg_config() { # pg_config
    pg_version='' pg_bindir='' pg_sharedir='' pg_headers='' pgxs=''
    { read -r pg_version && read -r pg_bindir && read -r pg_sharedir && read -r pg_headers && read -r pgxs; } <<END || true
$(command -v "$1" >/dev/null && "$1" --version --bindir --sharedir --includedir-server --pgxs 2>/dev/null)
END
    # 15 of "PostgreSQL 15.20 (Debian ..)", 19 of "PostgreSQL 19beta1"
    pg_version=${pg_version#PostgreSQL }
    pg_version=${pg_version%%[!0-9]*}
}

# Files of a server that building and running a cluster need; those that are not there, one a line.
# pgxs.mk alone says little: postgresql-client has it, and the pg_config of libpq-dev names it.
server_lacks() { # pg_config
    ask_pg_config "$1"
    [ -n "$pg_bindir" ] || { echo "$1" && return; }
    for program in postgres initdb pg_ctl psql createdb dropdb pg_dump pg_restore pgbench pg_basebackup pg_upgrade; do
        lacks_file "$pg_bindir/$program"
    done
    lacks_file "$pg_sharedir/extension/pg_stat_statements.control"
}

headers_lack() { # pg_config
    ask_pg_config "$1"
    [ -n "$pgxs" ] || { echo "$1" && return; }
    lacks_file "$pg_headers/postgres.h"
    lacks_file "$pgxs"
    lacks_file "${pgxs%/makefiles/*}/test/regress/pg_regress"
}

pgtap_lacks() { # pg_config
    ask_pg_config "$1"
    [ -n "$pg_sharedir" ] || { echo "$1" && return; }
    lacks_file "$pg_sharedir/extension/pgtap.control"
}

lacks_file() { [ -f "$1" ] || echo "$1"; }

is_whole() { # pg_config
    command -v "$1" >/dev/null && [ -z "$(server_lacks "$1")$(headers_lack "$1")" ]
}

# Major versions that have a server (or, with another file, something else) in Debian's place, the newest first.
majors_here() { # file of the version's folder
    for found in "$PG_ROOT"/*/"$1"; do
        [ -f "$found" ] || continue
        found=${found#"$PG_ROOT/"}
        echo "${found%%/*}"
    done | sort -rn
}

# Known to apt here, or apt knows nothing yet, so that nothing can be said.
can_be_had() { # package
    command -v apt-cache >/dev/null || return 0
    apt-cache show --no-all-versions "$1" 2>/dev/null | grep -q '^Package:' ||
        ! apt-cache show --no-all-versions postgresql 2>/dev/null | grep -q '^Package:'
}

# The major version that the distribution's package postgresql stands for.
distribution_major() {
    major=
    if command -v apt-cache >/dev/null; then
        major=$(apt-cache show --no-all-versions postgresql 2>/dev/null |
            sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1)
    fi
    echo "${major:-15}"
}

# The pg_config in use, if its server is whole; else the newest whole server; else the newest that can
# be made whole; else the one of the distribution. The pg_config of libpq-dev answers without any
# server, and one that stands alone says nothing about the server: a half of an older version does not
# win over a whole newer one, nor the other way round.
choose_major() {
    for major in $(majors_here bin/pg_config); do
        ! is_whole "$PG_ROOT/$major/bin/pg_config" || { echo "$major" && return; }
    done
    for file in bin/postgres bin/pg_config; do
        for major in $(majors_here "$file"); do
            if can_be_had "postgresql-$major" && can_be_had "postgresql-server-dev-$major"; then
                # A client alone is no reason to leave the distribution's version.
                [ "$file" = bin/postgres ] || [ -d "${DEPS_ROOT:-}/usr/include/postgresql/$major/server" ] || continue
                echo "$major" && return
            fi
        done
    done
    distribution_major
}

choose_server() {
    if [ -n "$PG_CONFIG_GIVEN" ]; then
        PG_CONFIG=$(command -v "$PG_CONFIG_GIVEN" || echo "$PG_CONFIG_GIVEN")
    elif is_whole pg_config; then
        # Debian's stands for the newest of several, which changes: the one of the server's own folder.
        ask_pg_config pg_config
        PG_CONFIG=$pg_bindir/pg_config
        [ -x "$PG_CONFIG" ] || PG_CONFIG=$(command -v pg_config)
    else
        PG_CONFIG=$PG_ROOT/$(choose_major)/bin/pg_config
    fi
    export PG_CONFIG
}

# ---- what is needed ----

# The major version whose packages are asked for. A pg_config that is not there yet has it in its path.
pg_major() {
    ask_pg_config "$PG_CONFIG"
    major=$pg_version
    [ -n "$major" ] || major=$(echo "$PG_CONFIG" | sed -n 's|.*/postgresql/\([0-9][0-9]*\)/bin/pg_config$|\1|p')
    echo "${major:-$(distribution_major)}"
}

# A compiler that is not g++ brings its own runtime libraries, in a package of its version.
clang_runtime() {
    version=$(clang++ -dumpversion 2>/dev/null | sed 's/\..*//') || version=
    echo "libclang-rt-${version:+$version-}dev"
}

# group, package, what it is asked for (comma separated, see lacks), why.
packages() {
    major=$(pg_major)
    cat <<END
build build-essential cmd:make,cmd:${CXX:-g++},hdr:stdio.h,hdr:vector compiler, linker and make
build libuv1-dev hdr:uv.h,lib:uv the gateway's event loop
build libwslay-dev hdr:wslay/wslay.h,lib:wslay reads the WebSocket frames of clients
build libjansson-dev hdr:jansson.h,lib:jansson JSON checks in module and gateway
build zlib1g-dev hdr:zlib.h,lib:z compressed WebSocket messages
build libssl-dev hdr:openssl/ssl.h,lib:ssl TLS and hashes in the gateway; included by the server's headers
build libkrb5-dev hdr:gssapi/gssapi.h included by the server's headers
server postgresql-$major server the server, psql, pgbench and contrib modules
server postgresql-server-dev-$major headers PGXS and the server's headers
test libgtest-dev hdr:gtest/gtest.h,lib:gtest,lib:gtest_main unit tests of core and gateway
test postgresql-$major-pgtap pgtap tests of the catalog contracts
test libtap-parser-sourcehandler-pgtap-perl cmd:pg_prove pg_prove, which runs them
test openssl cmd:openssl makes certificates for the tests
test ca-certificates file:/etc/ssl/certs/ca-certificates.crt npm fetches over https
test nodejs node end-to-end tests
test npm cmd:npm npm installs the test's packages from the lock file
test curl cmd:curl the quick start of the README
test nginx file:/usr/sbin/nginx a reverse proxy in front of the gateway
test chromium cmd:${CHROMIUM:-${DEPS_ROOT:-}/usr/bin/chromium} the demo page in a real browser
peers python3-fastapi python:fastapi bench/fanout compares with it
peers uvicorn python:uvicorn FastAPI's server
peers python3-uvloop python:uvloop its faster event loop
peers python3-httptools python:httptools its faster HTTP parser
peers python3-websockets python:websockets its WebSocket
peers python3-asyncpg python:asyncpg LISTEN from Python
fuzz clang cmd:clang++ the fuzzers
fuzz $(clang_runtime) fuzzer libFuzzer and the sanitizers of clang
END
}

# What a package is asked for and is not there, one a line.
lacks() { # what, comma separated
    rest=$1,
    while [ -n "$rest" ]; do
        what=${rest%%,*} rest=${rest#*,}
        case $what in
        cmd:*) command -v "${what#*:}" >/dev/null || echo "${what#*:}" ;;
        hdr:*) case " $absent " in *" ${what#*:} "*) echo "${what#*:}" ;; esac ;;
        lib:*) has_library "${what#*:}" || echo "lib${what#*:}.so" ;;
        file:*) lacks_file "${DEPS_ROOT:-}${what#*:}" ;;
        python:*) python3 -c "import ${what#*:}" 2>/dev/null || echo "the Python module ${what#*:}" ;;
        server) server_lacks "$PG_CONFIG" ;;
        headers) headers_lack "$PG_CONFIG" ;;
        pgtap) pgtap_lacks "$PG_CONFIG" ;;
        node) lacks_node ;;
        fuzzer) lacks_fuzzer ;;
        esac
    done
}

# Debian's folders have to do while there is no compiler to ask, which knows where it looks.
has_compiler() { command -v "${CXX:-g++}" >/dev/null; }

# Headers that are not there, of those named on standard input.
headers_that_lack() {
    if has_compiler; then
        sed 's/.*/#if !__has_include(<&>)\nis_missing &\n#endif/' | "${CXX:-g++}" -E -x c++ - 2>/dev/null |
            sed -n 's/^is_missing //p'
    else
        while read -r header; do [ -f "${DEPS_ROOT:-}/usr/include/$header" ] || echo "$header"; done
    fi
}

# Folders that libraries are looked for in, one a line.
library_folders() {
    if has_compiler; then
        "${CXX:-g++}" -print-search-dirs | sed -n 's/^libraries: =//p' | tr ':' '\n'
    else
        for found in "${DEPS_ROOT:-}"/usr/lib/*/; do echo "$found"; done
    fi
}

has_library() { # name; $folders
    for found in $folders; do
        [ ! -f "$found/lib$1.so" ] && [ ! -f "$found/lib$1.a" ] || return 0
    done
    return 1
}

# node:test with two reporters came with 18.15.
lacks_node() {
    version=$(node --version 2>/dev/null) || version=
    newest=$(printf '%s\nv18.15.0\n' "$version" | sort -V | tail -n 1)
    [ -n "$version" ] && [ "$newest" = "$version" ] || echo "node 18.15 or later"
}

lacks_fuzzer() {
    echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long) { return 0; }' |
        clang++ -x c++ -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null || echo libclang_rt.fuzzer
}

# ---- installing ----

# as_root COMMAND...: directly as root, otherwise through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "This has to be done by root, and there is no sudo here: $*" >&2
        return 1
    fi
}

newline='
'

# One line for each package: its name, why, and the first file that is not there.
missing_packages() { # group...
    absent=$(packages | tr ' ,' '\n\n' | sed -n 's/^hdr://p' | headers_that_lack | tr '\n' ' ')
    folders=$(library_folders)
    packages | while read -r group package probes why; do
        case " $* " in *" $group "*) ;; *) continue ;; esac
        lacking=$(lacks "$probes")
        [ -z "$lacking" ] || echo "$package $why (${lacking%%"$newline"*} is not here)"
    done
}

names_of() { cut -d ' ' -f 1; }
listed() { sed 's/ / - /; s/^/  /'; }

install_missing() { # group...
    choose_server
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    from_elsewhere "$missing" || return
    if ! command -v apt-get >/dev/null; then
        echo "These Debian packages (or what they are called here) are missing:" >&2
        echo "$missing" | listed >&2
        return 1
    fi
    may_install "$missing" || return

    # Which major version the distribution has is known only now, on a machine that is really new.
    as_root apt-get update -q || echo "The package lists could not be updated; those that are here have to do." >&2
    choose_server
    install_packages "$(missing_packages "$@")" || return
    choose_server
    missing=$(missing_packages "$@")
    if [ -n "$missing" ]; then
        echo "Still missing, although the packages are installed:" >&2
        echo "$missing" | listed >&2
        return 1
    fi
}

# Packages do not mend a server that is not Debian's.
from_elsewhere() { # missing packages
    [ -n "$PG_CONFIG_GIVEN" ] || return 0
    ask_pg_config "$PG_CONFIG"
    case $PG_CONFIG:$pg_bindir in "$PG_ROOT"/* | *:"$PG_ROOT"/*) return 0 ;; esac
    if echo "$1" | grep '^postgresql-' >&2; then
        echo "PG_CONFIG is $PG_CONFIG, which is not Debian's: what its server lacks has to be installed as it was." >&2
        return 1
    fi
}

may_install() { # missing packages
    [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null || return 0
    echo "Packages are missing, and there is no sudo here to install them with. As root:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends" $(echo "$1" | names_of) >&2
    return 1
}

install_packages() { # missing packages
    [ -n "$1" ] || return 0
    unknown=$(echo "$1" | names_of | while read -r name; do can_be_had "$name" || echo "$name"; done)
    if [ -n "$unknown" ]; then
        echo "apt knows no package of these names (is the package list complete?):" $unknown >&2
        return 1
    fi
    echo "Installing Debian packages that are missing:"
    echo "$1" | listed
    names=$(echo "$1" | names_of)
    status=0
    # shellcheck disable=SC2086 # one word per package
    without_new_services as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 $names || status=$?
    if [ $status != 0 ]; then
        echo "apt-get failed, for the reason above. Once it is mended, this can be run again; by hand it is:" >&2
        echo "  apt-get install --no-install-recommends" $names >&2
    fi
    return $status
}

# Debian starts a cluster when a server is installed, and a web server on port 80 with nginx. Nobody
# asked for those here. A subshell, so that its trap takes the files away whatever happens.
without_new_services() ( # command...
    cluster=${DEPS_ROOT:-}/etc/postgresql-common/createcluster.d/rtd.conf
    policy=${DEPS_ROOT:-}/usr/sbin/policy-rc.d
    nginx=${DEPS_ROOT:-}/usr/sbin/nginx
    made=
    trap '[ -z "$made" ] || as_root rm -f $made' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if ! [ -e "$cluster" ]; then
        as_root mkdir -p "${cluster%/*}"
        made=$cluster
        echo 'create_main_cluster = false' | as_root tee "$cluster" >/dev/null
    fi
    if ! [ -e "$policy" ] && ! [ -e "$nginx" ]; then
        made="$made $policy"
        printf '#!/bin/sh\n[ "$1" != nginx ] || exit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        "$@" || exit
        [ ! -d /run/systemd/system ] || ! [ -e "$nginx" ] || as_root systemctl disable -q nginx || true
        exit 0
    fi
    "$@"
)

# Builds the extension and installs it into the PostgreSQL of PG_CONFIG. Says little. What needs root
# is the copying alone: nothing in the tree becomes root's.
build_and_install() {
    make --no-print-directory -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" || return
    if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
        make --no-print-directory -s install PG_CONFIG="$PG_CONFIG" >/dev/null
        return
    fi
    (
        staging=$(mktemp -d "${TMPDIR:-/tmp}/rtd-install-XXXXXX") || exit
        trap 'rm -rf "$staging"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        make --no-print-directory -s install PG_CONFIG="$PG_CONFIG" DESTDIR="$staging" >/dev/null || exit
        # A file is replaced and not written over: a server that runs has it mapped.
        as_root sh -c 'umask 022 && cp -R --remove-destination "$1"/* /' sh "$staging"
    )
}
