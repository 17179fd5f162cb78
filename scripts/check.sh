#!/usr/bin/env bash
# Tests under the race detector, lints, looks for known vulnerabilities, tries the
# alerts, checks licences, and builds twice. Called by `make check` after the tests.
# What cannot be had on this machine is skipped, and said loudly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skipped() { printf '\n!!! SKIPPED: %s\n\n' "$1" >&2; }

failed=0
# Without the journeys and the killed processes: -short leaves them out.
scripts/test.sh -short ./... || failed=1

if make --no-print-directory bin/tools/golangci-lint; then
	echo 'golangci-lint'
	bin/tools/golangci-lint run ./... || failed=1
else
	skipped 'golangci-lint cannot be built here'
fi

if make --no-print-directory bin/tools/govulncheck; then
	echo 'govulncheck'
	code=0
	out=$(bin/tools/govulncheck ./... 2>&1) || code=$?
	case $code in
	0) printf '%s\n' "$out" ;;
	# 3 is "found something"; its database out of reach is another code.
	3) printf '%s\n' "$out"; failed=1 ;;
	*)
		if grep -qiE 'fetching vulnerabilities|dial tcp|no such host|vuln.*(40[0-9]|50[0-9]|timeout)|Forbidden|proxyconnect|connection refused' <<<"$out"; then
			printf '%s\n' "$out" | tail -3
			skipped 'the vulnerability database cannot be reached from here'
		else
			printf '%s\n' "$out"
			failed=1
		fi
		;;
	esac
else
	skipped 'govulncheck cannot be built here'
fi

if make --no-print-directory bin/tools/promtool; then
	echo 'promtool'
	bin/tools/promtool check rules --lint=all deploy/helm/alerts.yaml || failed=1
	bin/tools/promtool test rules deploy/helm/testdata/alerts.test.yaml || failed=1
else
	skipped 'promtool cannot be built here'
fi

if make --no-print-directory sbom; then
	# A licence that is new here is a decision: see docs/decisions/dependencies.md.
	strange=$(grep -oE '"(id|name)": "(A?GPL|LGPL|SSPL|BUSL|CC-BY|EPL|CDDL|OSL|EUPL)[^"]*"' bin/shingle.cdx.json | sort -u || true)
	if [ -n "$strange" ]; then
		printf 'licences that the program cannot be given away with:\n%s\n' "$strange" >&2
		failed=1
	fi
else
	skipped 'cyclonedx-gomod cannot be built here'
fi

make --no-print-directory reproduce || failed=1

exit "$failed"
