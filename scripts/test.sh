#!/usr/bin/env bash
# Vets and tests everything. Called by `make test`, which provides the parts.
# Arguments go to `go test -race`, instead, when there are any.
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

go vet ./...
# -count=1: a cached result leaves no pictures and talks to no server.
if [ $# -gt 0 ]; then
	go test -race -count=1 -timeout 25m "$@"
	exit
fi
failed=0
# The browsers' journeys come last and alone: they are what a busy machine slows.
go test -count=1 -timeout 25m $(go list ./... | grep -v /cmd/shingle$) || failed=1
go test -count=1 -timeout 25m -parallel 4 ./cmd/shingle || failed=1
# The race detector watches what goroutines share; `make check` has it watch all.
go test -race -count=1 -timeout 25m ./tenant ./tasks ./accounts ./authz ./search ./themes ./billing/meter ./internal/listen ./internal/observe ./web/route || failed=1
exit "$failed"
