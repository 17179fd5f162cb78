#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: Postgres, Redis, Chromium
# with a font, and a C compiler for the race detector. Debian and Ubuntu only.
# Chromium's build without windows is preferred: it takes under half the time.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }
have_postgres() {
	[ -n "${SHINGLE_TEST_DATABASE_URL:-}" ] || have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
		compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null
}
have_shell() { have chromium-headless-shell || have chrome-headless-shell; }
have_chromium() {
	have_shell || have chromium || have chromium-browser || have google-chrome || have google-chrome-stable || have chrome ||
		[ -x /Applications/Chromium.app/Contents/MacOS/Chromium ]
}

shell=chromium-headless-shell
need=()
have_postgres || need+=(postgresql)
have_chromium || need+=("$shell" fonts-liberation)
have gcc || have clang || have cc || need+=(gcc libc6-dev)
wanted=("${need[@]}")
have redis-server || wanted+=(redis-server)
have_shell || ! have_chromium || wanted+=("$shell")
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

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	echo "installing ${wanted[*]}"
	apt install -y --no-install-recommends "${wanted[@]}" >"$log" 2>&1
}
# A fresh machine has no package lists yet.
install || { apt update >"$log" 2>&1 && install; } || {
	# An older system has the whole browser alone.
	need=("${need[@]/$shell/chromium}") kept=()
	for w in "${wanted[@]}"; do
		if [ "$w" != "$shell" ]; then kept+=("$w"); elif ! have_chromium; then kept+=(chromium); fi
	done
	wanted=("${kept[@]}")
	[ ${#wanted[@]} -eq 0 ] || install || {
		tail -20 "$log" >&2
		give_up "apt-get could not install ${wanted[*]}; what it said is above."
	}
}
