#!/usr/bin/env bash
# Vets and tests everything. Called by `make test`, which provides the parts.
# Arguments go to `go test`, instead of ./... when there are any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SHINGLE_ARTIFACTS="${SHINGLE_ARTIFACTS:-${TMPDIR:-/tmp}/shingle-artifacts}"
export SHINGLE_TEST_STRIPE_MOCK="${SHINGLE_TEST_STRIPE_MOCK:-$PWD/bin/tools/stripe-mock}"
export SHINGLE_TEST_PEBBLE="${SHINGLE_TEST_PEBBLE:-$PWD/bin/tools/pebble}"
# Settings of a running deployment are no business of the tests.
for name in $(compgen -e SHINGLE_); do
	case $name in SHINGLE_TEST_* | SHINGLE_ARTIFACTS) ;; *) unset "$name" ;; esac
done
unset PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE REDISCLI_AUTH

finish() {
	code=$?
	# The Postgres that all packages share ends with the run.
	go run ./internal/testkit/stopshared || true
	if [ "$code" -ne 0 ]; then
		echo "Tests failed. Pictures of the pages: $SHINGLE_ARTIFACTS" >&2
	else
		echo "Pictures of the pages: $SHINGLE_ARTIFACTS"
	fi
}
trap finish EXIT

if [ $# -eq 0 ]; then
	set -- ./...
fi
go vet ./...
# -count=1: a cached result leaves no pictures and talks to no server.
go test -race -count=1 -timeout 25m "$@"
