#!/usr/bin/env bash
# Runs the Go benchmarks of two revisions in turn, so that a noisy machine
# troubles both alike, and prints the ratios.
#   scripts/bench-compare.sh main~1 HEAD 'Resolve|Wall' ./tenant
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
from=${1:?which revision to compare with: make bench-compare FROM=main~1} to=${2:-HEAD} pattern=${3:-.}
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- ./tenant ./authz ./themes ./listings ./search/postgres
make --no-print-directory bin/tools/benchstat
dir=$(mktemp -d)
cleanup() {
	git worktree remove --force "$dir/from" 2>/dev/null || true
	git worktree remove --force "$dir/to" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
git worktree add --quiet --detach "$dir/from" "$from"
git worktree add --quiet --detach "$dir/to" "$to"
for side in from to; do
	mkdir -p "$dir/bin/$side"
	(cd "$dir/$side" && for pkg in "$@"; do go test -c -o "$dir/bin/$side/${pkg//[.\/]/_}.test" "$pkg"; done)
done
for _ in 1 2 3 4 5 6; do
	for side in from to; do
		for pkg in "$@"; do
			(cd "$dir/$side/$pkg" && "$dir/bin/$side/${pkg//[.\/]/_}.test" -test.run '^$' -test.bench "$pattern" -test.benchmem -test.benchtime 0.3s) >> "$dir/$side.txt"
		done
	done
done
bin/tools/benchstat "$from=$dir/from.txt" "$to=$dir/to.txt"
