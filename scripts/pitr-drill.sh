#!/usr/bin/env bash
# Tries point-in-time recovery from nothing, on this machine: a cluster that
# archives its log, a base backup, writes before and after an accident, and a
# second cluster that is recovered to the moment between. Called by `make pitr`.
#
# PITR_BACKUPS keeps its files (default: a temporary folder, deleted at the end);
# PITR_ROWS is how many rows are written before the accident.
set -euo pipefail

rows="${PITR_ROWS:-200000}"
bin="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)"
[ -n "$bin" ] || bin="$(dirname "$(command -v initdb)")"
[ -x "$bin/pg_basebackup" ] || { echo 'Postgres and its pg_basebackup are missing: apt install postgresql' >&2; exit 1; }

# Postgres refuses root.
as=()
if [ "$(id -u)" = 0 ]; then
	as=(runuser -u "${PITR_USER:-postgres}" --)
fi

dir="$(mktemp -d "${TMPDIR:-/tmp}/shingle-pitr.XXXXXX")"
chmod 711 "$dir"
for d in primary recovered archive base run; do
	mkdir -m 700 "$dir/$d"
	[ ${#as[@]} -eq 0 ] || chown "${PITR_USER:-postgres}" "$dir/$d"
done

port="${PITR_PORT:-23950}"
finish() {
	code=$?
	for d in primary recovered; do
		[ ! -f "$dir/$d/postmaster.pid" ] || "${as[@]}" "$bin/pg_ctl" -D "$dir/$d" -m immediate stop >/dev/null 2>&1 || true
	done
	if [ "$code" -ne 0 ]; then
		tail -n 20 "$dir"/run/*.log >&2 || true
	fi
	rm -rf "$dir"
	exit "$code"
}
trap finish EXIT

sql() { "${as[@]}" "$bin/psql" -h "$dir/run" -p "$1" -d postgres -v ON_ERROR_STOP=1 -XAtqc "$2"; }
since() { echo "$((($(date +%s%N) - $1) / 1000000)) ms"; }
say() { printf '%-58s %s\n' "$1" "$2"; }

"${as[@]}" "$bin/initdb" -D "$dir/primary" -U postgres --auth=trust --no-sync >/dev/null
cat >> "$dir/primary/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir/run'
port = $port
wal_level = replica
archive_mode = on
# Never over a file that is there: an archive that is overwritten is none.
archive_command = 'test ! -f $dir/archive/%f && cp %p $dir/archive/%f.part && mv $dir/archive/%f.part $dir/archive/%f'
archive_timeout = 60s
CONF
"${as[@]}" "$bin/pg_ctl" -D "$dir/primary" -l "$dir/run/primary.log" -w start >/dev/null
say 'a cluster that archives its log' "Postgres $(sql "$port" 'SHOW server_version')"

sql "$port" 'CREATE TABLE listings (id bigint PRIMARY KEY, title text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())'
sql "$port" "INSERT INTO listings SELECT n, 'of before the base backup' FROM generate_series(1, 1000) n"

begun=$(date +%s%N)
"${as[@]}" "$bin/pg_basebackup" -h "$dir/run" -p "$port" -U postgres -D "$dir/base" -Ft -z -X none --checkpoint=fast 2>/dev/null
say 'pg_basebackup' "$(since "$begun"), $(du -sh "$dir/base" | cut -f1)"

begun=$(date +%s%N)
sql "$port" "INSERT INTO listings SELECT n, 'of after it ' || md5(n::text) FROM generate_series(1001, 1000 + $rows) n"
say "$rows rows written after it" "$(since "$begun")"
want="$(sql "$port" 'SELECT count(*) || $$ $$ || sum(hashtext(title)) FROM listings')"
target="$(sql "$port" 'SELECT clock_timestamp()')"
# The accident, in a later transaction than the moment.
sql "$port" 'DELETE FROM listings WHERE id % 2 = 0; INSERT INTO listings VALUES (-1, $$of after the accident$$)'
sql "$port" 'SELECT pg_switch_wal()' >/dev/null
last="$(sql "$port" 'SELECT pg_walfile_name(pg_current_wal_lsn() - 1)')"
for _ in $(seq 300); do
	[ "$(sql "$port" "SELECT coalesce(last_archived_wal >= '$last', false) FROM pg_stat_archiver")" = t ] && break
	sleep 0.1
done
say 'an accident: half of them deleted' "$(ls "$dir/archive" | wc -l) files of log archived, $(du -sh "$dir/archive" | cut -f1)"
"${as[@]}" "$bin/pg_ctl" -D "$dir/primary" -m immediate stop >/dev/null
say 'the machine is lost' 'stopped without a checkpoint'

begun=$(date +%s%N)
"${as[@]}" tar -xzf "$dir/base/base.tar.gz" -C "$dir/recovered"
cat >> "$dir/recovered/postgresql.conf" <<CONF
port = $((port + 1))
archive_mode = off
restore_command = 'cp $dir/archive/%f %p'
recovery_target_time = '$target'
recovery_target_action = 'promote'
CONF
"${as[@]}" touch "$dir/recovered/recovery.signal"
"${as[@]}" "$bin/pg_ctl" -D "$dir/recovered" -l "$dir/run/recovered.log" -w -t 300 start >/dev/null
for _ in $(seq 600); do
	[ "$(sql $((port + 1)) 'SELECT pg_is_in_recovery()')" = f ] && break
	sleep 0.1
done
got="$(sql $((port + 1)) 'SELECT count(*) || $$ $$ || sum(hashtext(title)) FROM listings')"
say "recovered to $target" "$(since "$begun")"
if [ "$got" != "$want" ]; then
	echo "The recovered rows are not those of that moment: $got, want $want" >&2
	exit 1
fi
sql $((port + 1)) "INSERT INTO listings VALUES (-2, 'life goes on')"
say 'rows of that moment, all of them; it takes writes' "$(echo "$got" | cut -d' ' -f1) rows"
