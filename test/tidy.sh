#!/bin/sh
# What rots when nobody looks: prints TAP, one line per rule, and what breaks it.
set -u
cd "$(dirname "$0")/.." || exit 1
number=0
broken=0

# A rule holds if the command after its sentence prints nothing.
rule() { # sentence, output
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        broken=$((broken + 1))
        echo "not ok $number - $1"
        echo "$2" | sed 's/^/#   /'
    fi
}

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" rtd.control)

missing_in() { # file, words on stdin
    while read -r word; do
        grep -qF -- "$word" "$1" || echo "$word is not in $1"
    done
}

rule "only src/pg includes the server's headers" \
    "$(grep -nE '#include "(postgres|fmgr|miscadmin|access|catalog|commands|executor|libpq|storage|utils)[./]' \
        -r src/core src/router src/gateway)"

# Lines "room allowed ...", of the table in src/README.md.
rooms=$(sed -nE 's/^\| `([a-z/]+)` \| [^|]* \|(.*)\|$/\1 \2/p' src/README.md | tr -d '`')
rule "every include goes to a room that src/README.md allows" \
    "$(find src -name '*.cpp' -o -name '*.h' | sort | while read -r file; do
        room=${file#src/} && room=${room%/*}
        [ "$file" != src/rtd.cpp ] || continue
        allowed=$(echo "$rooms" | sed -n "s|^$room ||p")
        [ -n "$(echo "$rooms" | grep "^$room ")" ] || echo "$file is in no room of src/README.md"
        sed -nE 's/^#include "((core|router|pg|gateway)\/[^"]+)".*/\1/p' "$file" | while read -r header; do
            target=${header%/*}
            case " core $room pg/server/prelude.h $allowed " in
            *" $target "* | *" $header "*) ;;
            *" every room of the gateway "*) [ "${target%%/*}" = gateway ] || echo "$file includes $header" ;;
            *) echo "$file includes $header" ;;
            esac
        done
    done)"

# The postmaster loads the library, and what a constructor of a global does there, a fork inherits. The
# compiler's own frame_dummy is one entry of eight bytes.
rule "no constructor runs when the module is loaded" \
    "$([ ! -e rtd.so ] || LC_ALL=C readelf -SW rtd.so | sed -nE 's/.* \.init_array +INIT_ARRAY +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) .*/\1/p' |
        grep -vx 000008 | sed 's/.*/.init_array has 0x& bytes:/' && nm -C rtd.so | grep -o '_GLOBAL__sub_I_.*')"

rule "every header of core, router and gateway stands behind the fence" \
    "$(for header in src/core/*.h src/router/*.h src/gateway/*.h src/gateway/*/*.h; do
        [ "$header" = src/core/fence.h ] || grep -qE '#include "(core|router|gateway)/' "$header" ||
            echo "$header"
    done)"

rule "the version of rtd.control is the version everywhere" \
    "$(grep -q "\"version\": \"$version\"" META.json || echo "META.json"
    grep -q "^## $version" CHANGELOG.md || echo "CHANGELOG.md")"

rule "every setting is in docs/SETTINGS.md" \
    "$(grep -oE '"rtd\.[a-z_]+"' src/pg/server/settings.cpp | tr -d '"' | sort -u | missing_in docs/SETTINGS.md)"

rule "every setting in docs/SETTINGS.md exists" \
    "$(grep -oE '^\| `rtd\.[a-z_]+`' docs/SETTINGS.md | grep -oE 'rtd\.[a-z_]+' | sort -u | missing_in src/pg/server/settings.cpp)"

# What a setting bounds is told in one table, with the default that the code has.
rule "every setting that is a bound is in docs/BOUNDS.md" \
    "$(grep -oE '"rtd\.[a-z_]+"' src/pg/server/settings.cpp | tr -d '"' | sort -u |
        grep -E '\.(max|linger)|_(size|buffer|memory|rate|limit|retention|events)|per_' | sed 's/.*/| `&` |/' | missing_in docs/BOUNDS.md)"

rule "bounds have the same default in docs/BOUNDS.md and docs/SETTINGS.md" \
    "$(sed -nE 's/^\| `(rtd\.[a-z_]+)` \| ([^|]*) \|.*/\1 \2/p' docs/BOUNDS.md | sed 's/ (any)//' | while read -r name default; do
        grep -qF "| \`$name\` | $default |" docs/SETTINGS.md || echo "$name $default"
    done)"

# Functions that are not for users say so by having EXECUTE revoked, or serve a trigger or a view.
rule "every public function is in docs/SQL.md" \
    "$(grep -oE '^CREATE FUNCTION rtd_[a-z_]+' sql/rtd.sql | awk '{ print $3 }' |
        grep -vE '^rtd_(trigger|catalog_trigger|restore_trigger|catalog_changed|watch_problem|topic_problem)$' | missing_in docs/SQL.md)"

rule "every view is in docs/SQL.md" \
    "$(grep -oE '^CREATE VIEW %1\$s\.rtd_[a-z_]+' sql/rtd.sql | sed 's/.*s\.//' | missing_in docs/SQL.md)"

rule "the README installs every package that building needs" \
    "$(sed -nE 's/^build ([^ ]+) .*/\1/p' test/lib/deps.sh | missing_in README.md)"

rule "links between the documents lead somewhere" \
    "$(for page in README.md CONTRIBUTING.md docs/*.md; do
        grep -oE '\]\([^)#: ]+' "$page" | cut -c 3- | while read -r target; do
            [ -e "$(dirname "$page")/$target" ] || echo "$page links to $target"
        done
    done)"

rule "every function, table and view has a comment" \
    "$(grep -oE '^CREATE (FUNCTION|TABLE|VIEW) (%1\$s\.)?rtd_[a-z_]+' sql/rtd.sql | awk '{ sub(/%1\$s[.]/, ""); print $2, $3 }' |
        while read -r kind name; do
            grep -qE "^COMMENT ON $kind $name" sql/rtd.sql || echo "$kind $name"
        done)"

codes() { sed -nE "$1" "$2" | sort; }
rule "close codes are equal in code and docs/PROTOCOL.md" \
    "$(code=$(codes 's/^RTD_CLOSE_CODE\(([0-9]+), ([a-z0-9_]+), (true|false),.*/\1 \2 \3/p' src/core/close_codes.def)
    docs=$(codes 's/^\| ([0-9]+) \| `([a-z0-9_]+)` \| (yes|no) \|.*/\1 \2 \3/p' docs/PROTOCOL.md |
        sed 's/ yes$/ true/; s/ no$/ false/')
    [ "$code" = "$docs" ] || printf 'code:\n%s\ndocs:\n%s\n' "$code" "$docs")"

rule "reasons of refusals are equal in code and docs/PROTOCOL.md" \
    "$(code=$(codes 's/^RTD_REFUSAL_REASON\(([a-z_]+), "(.*)"\)$/\1 \2/p' src/core/refusal_reasons.def)
    docs=$(sed -n '/^| reason | what is refused/,/^$/p' docs/PROTOCOL.md |
        sed -nE 's/^\| `([a-z_]+)` \| (.*) \|$/\1 \2/p' | sort)
    [ "$code" = "$docs" ] || printf 'code:\n%s\ndocs:\n%s\n' "$code" "$docs")"

rule "every regress input has an output, and the other way round" \
    "$(for input in sql/*.sql; do
        name=$(basename "$input" .sql)
        case $name in rtd | rtd--*) continue ;; esac
        [ -f "expected/$name.out" ] || echo "expected/$name.out is missing"
    done
    for output in expected/*.out; do
        [ -f "sql/$(basename "$output" .out).sql" ] || echo "$output has no input"
    done)"

# Statement sets role and settings for rtd's own SQL; the query worker those of a topic's owner.
rule "SQL runs as a Statement, or as the query of a topic" \
    "$(grep -rnE '\bSPI_[a-z]|\b(pg_plan_quer(y|ies)|ExecutorStart|PortalStart|CreateQueryDesc|ProcessUtility)\(' src --include=*.cpp --include=*.h |
        grep -vE '^src/pg/server/saved_plan\.(cpp|h):'
    grep -rnE '\b(make_unique<SavedPlan>|SavedPlan [a-z_]+)\(' src --include=*.cpp |
        grep -vE '^src/pg/(server/(saved_plan|statement)|query/(query_worker|keyed_read))\.cpp:')"

rule "no file of src is longer than 650 lines" \
    "$(wc -l src/*/*.cpp src/*/*.h src/*/*/*.cpp src/*/*/*.h | awk '$1 > 650 && $2 != "total" { print $2 ": " $1 }')"

# Not git grep: it refuses a tree of another user, and a tree may have been unpacked from an archive.
rule "no merge was left half done" \
    "$(grep -rnIE '^(<<<<<<<|>>>>>>>) ' . --exclude-dir=.git --exclude-dir=build --exclude-dir=node_modules --exclude-dir=expected)"

rule "lock files record no download addresses" \
    "$(grep -rn '"resolved": *"http' . --include=package-lock.json --exclude-dir=node_modules --exclude-dir=build)"

rule "set-up finds what is missing on machines of every kind" \
    "$(result=$(test/fresh/quick) || echo "$result" | grep -v '^ok ')"

echo "1..$number"
[ "$broken" = 0 ]
