#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: Postgres, Redis, Chromium
# with a font, and a C compiler for the race detector. Debian and Ubuntu only.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }
have_postgres() {
	[ -n "${SHINGLE_TEST_DATABASE_URL:-}" ] || have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
		compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null
}
have_chromium() {
	have chromium || have chromium-browser || have google-chrome || have google-chrome-stable || have chrome ||
		[ -x /Applications/Chromium.app/Contents/MacOS/Chromium ]
}

need=()
have_postgres || need+=(postgresql)
have_chromium || need+=(chromium fonts-liberation)
have gcc || have clang || have cc || need+=(gcc libc6-dev)
wanted=("${need[@]}")
have redis-server || wanted+=(redis-server)
have faketime || wanted+=(faketime)
[ ${#wanted[@]} -eq 0 ] && exit 0

# Without Redis the tests use one of their own in the process; without faketime
# `make chaos` leaves the clock alone, and says so.
give_up() {
	[ ${#need[@]} -eq 0 ] && exit 0
	echo "The tests need: ${need[*]}. $1" >&2
	exit 1
}

have apt-get || give_up 'Install them with this system'"'"'s package manager; on Debian and Ubuntu `make deps` does it.'
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	have sudo && sudo -n true 2>/dev/null || give_up "Run: sudo apt-get install ${wanted[*]}"
	as_root=(sudo -n)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@"; }

echo "installing ${wanted[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! apt install -y --no-install-recommends "${wanted[@]}" >"$log" 2>&1; then
	# A fresh machine has no package lists yet.
	apt update >"$log" 2>&1 && apt install -y --no-install-recommends "${wanted[@]}" >"$log" 2>&1 || {
		tail -20 "$log" >&2
		give_up "apt-get could not install ${wanted[*]}; what it said is above."
	}
fi
