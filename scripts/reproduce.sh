#!/usr/bin/env bash
# Builds the program twice, in folders of different names and lengths, the second
# time with an empty build cache, and compares checksums. Called by `make reproduce`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version="${1:-dev}"
dir="$(mktemp -d "${TMPDIR:-/tmp}/shingle-reproduce.XXXXXX")"
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT

first="$dir/one" second="$dir/another/place/with/a/longer/name"
for at in "$first" "$second"; do
	mkdir -p "$at"
	git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
		if [ -e "$file" ]; then printf '%s\0' "$file"; fi
	done | tar -c --null -T - | tar -x -C "$at"
done

make --no-print-directory -C "$first" build VERSION="$version"
# another time zone and umask: neither may get in.
(
	umask 077
	TZ=Pacific/Auckland LC_ALL=C GOCACHE="$dir/cache" make --no-print-directory -C "$second" build VERSION="$version"
)

if ! cmp -s "$first/bin/shingle" "$second/bin/shingle"; then
	sha256sum "$first/bin/shingle" "$second/bin/shingle" >&2
	echo 'The two builds differ: look for a path, a time or a random value in them (go version -m, cmp -l).' >&2
	exit 1
fi
echo "Built twice, the same: $(sha256sum <"$first/bin/shingle" | cut -d' ' -f1)"
