# Runs one pgbouncer in transaction mode for tests, until the standard input ends:
# sh pgbouncer.sh PROGRAM PORT SERVER_PORT
set -u
dir=$(mktemp -d "${SCRATCH:-/tmp}/actions-pgbouncer.XXXXXX") || exit 1
cat >"$dir/ini" <<END
[databases]
postgres = host=127.0.0.1 port=$3 dbname=postgres user=actions
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $2
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
logfile = $dir/log
END
trap '' INT HUP TERM
"$1" -q "$dir/ini" </dev/null >/dev/null 2>&1 &
pid=$!
tries=0
until grep -q 'process up' "$dir/log" 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ] || ! kill -0 $pid 2>/dev/null; then
        echo "failed: $(cat "$dir/log" 2>/dev/null | tr '\n' ' ')"
        exit
    fi
    sleep 0.02
done
echo ok
while read -r _; do :; done
kill -INT $pid
wait $pid
rm -rf "$dir"
