# Runs one PostgreSQL server for tests: sh postgres.sh BIN PORT PRIMARY [SETTING...]
#
# BIN is the directory of the server's programs. PRIMARY is the port of the server to follow, or "-".
# The server belongs to this script, and this script ends with its standard input. So the server
# stops when the test program ends, for any reason. Each line of the input is a command:
# start, quit (as after a crash), stop, promote. Each command is answered with one line.
set -u
bin=$1 port=$2 primary=$3
shift 3
pid=
dir=$(mktemp -d "${SCRATCH:-/tmp}/actions-postgres.XXXXXX") || exit 1
data=$dir/data

start() {
    "$bin/postgres" -D "$data" -k "$dir" -p "$port" -c listen_addresses=127.0.0.1 "$@" \
        </dev/null >>"$dir/log" 2>&1 &
    pid=$!
    while ! "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
        kill -0 "$pid" 2>/dev/null || { pid=; return 1; }
        sleep 0.02
    done
}

end() { # SIGNAL
    [ -n "$pid" ] || return 0
    kill "-$1" "$pid"
    wait "$pid"
    pid=
}

create() {
    if [ "$primary" = - ]; then
        "$bin/initdb" -D "$data" -U actions -A trust -E UTF8 --locale=C --no-sync >>"$dir/log" 2>&1
    else
        "$bin/pg_basebackup" -D "$data" -h 127.0.0.1 -p "$primary" -U actions -c fast -R --no-sync \
            >>"$dir/log" 2>&1
    fi
}

answer() { # STATUS
    if [ "$1" = 0 ]; then
        echo ok
    else
        echo "failed: $(tail -n 5 "$dir/log" | tr '\n' ' ')"
    fi
}

# Ctrl-C reaches this script, too. The end of the input stops it.
trap '' INT HUP TERM
create && start "$@"
answer $?
while read -r command; do
    case $command in
        start) start "$@" ;;
        quit) end QUIT ;;
        stop) end INT ;;
        promote) "$bin/pg_ctl" promote -D "$data" >>"$dir/log" 2>&1 ;;
        *) false ;;
    esac
    case $command in
        quit | stop) answer 0 ;; # the server's own status says how it ended
        *) answer $? ;;
    esac
done
end QUIT
rm -rf "$dir"
