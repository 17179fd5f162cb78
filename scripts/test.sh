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

go vet ./...
# -count=1: a cached result leaves no pictures and talks to no server.
if [ $# -gt 0 ]; then
	go test -race -count=1 -timeout 25m "$@"
	exit
fi
# The race detector watches everything but the browsers' journeys and the killed
# processes, which -short leaves out and which then run in full at true speed.
failed=0
go test -race -short -count=1 -timeout 25m ./... || failed=1
go test -count=1 -timeout 25m -parallel 4 ./cmd/shingle || failed=1
exit "$failed"
