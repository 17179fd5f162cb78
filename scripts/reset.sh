#!/usr/bin/env bash
# Stops the `shingle dev` of a data directory with its Postgres, and deletes
# the data. SHINGLE_DATA_DIR names the directory; .shingle by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=${SHINGLE_DATA_DIR:-.shingle}
if [ ! -d "$dir" ]; then
	echo "nothing to reset: there is no $dir"
	exit 0
fi
dir=$(cd "$dir" && pwd -P)
if [ ! -e "$dir/lock" ] && [ ! -e "$dir/postgres.home" ]; then
	echo "$dir is not a data directory of shingle: left as it is" >&2
	exit 1
fi

as_root=()
name_of() { cat "/proc/$1/comm" 2>/dev/null || ps -o comm= -p "$1" 2>/dev/null || true; }
# end SIGNAL PID NAME: asks a process to stop, if it is still that program, and waits.
end() {
	case "$(name_of "$2")" in *"$3"*) ;; *) return 0 ;; esac
	"${as_root[@]}" kill "-$1" "$2" 2>/dev/null || return 0
	for _ in $(seq 300); do
		case "$(name_of "$2")" in *"$3"*) sleep 0.1 ;; *) return 0 ;; esac
	done
	echo "process $2 ($3) does not stop" >&2
	exit 1
}

pid=$(head -n 1 "$dir/lock" 2>/dev/null || true)
[ -n "$pid" ] && end TERM "$pid" shingle

home=$(head -n 1 "$dir/postgres.home" 2>/dev/null || true)
case "$home" in
"$dir"/*) ;;
/var/lib/shingle/?*)
	if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
	;;
*) home= ;;
esac
if [ -n "$home" ]; then
	pid=$("${as_root[@]}" head -n 1 "$home/data/postmaster.pid" 2>/dev/null || true)
	[ -n "$pid" ] && end INT "$pid" postgres
	"${as_root[@]}" rm -rf -- "$home"
fi
rm -rf -- "$dir"
echo "deleted $dir"
