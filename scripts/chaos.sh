#!/usr/bin/env bash
# Lets things go wrong under load: scripts/chaos.sh [long] [FROM] [SEED].
# FROM is the revision that is upgraded from and gone back to: by default the last
# tag, or origin/main when it is another one than this, or the commit before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
long=${1:-} from=${2:-} seed=${3:-}

git() { command git -c safe.directory="$PWD" "$@"; }
revision() { git rev-parse --verify --quiet "$1^{commit}"; }

if [ -n "$from" ]; then
	from=$(revision "$from") || { echo "FROM names no commit of this clone." >&2; exit 1; }
else
	here=$(revision HEAD) || here=
	for guess in "$(git describe --tags --abbrev=0 2>/dev/null || true)" origin/main HEAD^1; do
		[ -n "$guess" ] && from=$(revision "$guess") && [ "$from" != "$here" ] && break
		from=
	done
fi

flags=(-chaos -boards 8 -listings 60 -large 0)
[ "$long" != long ] || flags+=(-long 30m)
[ -z "$seed" ] || flags+=(-seed "$seed")
if [ -n "$from" ]; then
	# -trimpath: what both revisions share is compiled once.
	src=$(mktemp -d)
	trap 'rm -rf "$src"' EXIT
	git archive "$from" | tar -x -C "$src"
	if (cd "$src" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -tags nomsgpack -ldflags '-s -w -X main.version=before' -o "$OLDPWD/bin/shingle-before" ./cmd/shingle); then
		flags+=(-before bin/shingle-before)
		echo "upgrading from $(git log -1 --format='%h %s' "$from")"
	fi
	rm -rf "$src"
	trap - EXIT
fi
exec go run ./cmd/bench "${flags[@]}" ${CHAOSFLAGS:-}
