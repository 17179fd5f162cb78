#!/usr/bin/env bash
# Runs every benchmark, one package after the other so that none disturbs another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'go run ./internal/testkit/stopshared || true' EXIT
go test -run '^$' -bench . -benchmem -p 1 -timeout 60m "${@:-./...}"
