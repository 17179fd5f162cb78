#!/bin/sh
# Makes deploy/secrets/ with passwords of its own. What exists is kept, so it can
# be run again. Stripe's keys and the mail server's address are yours to fill in.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"; }
for name in postgres_password owner_password typesense_key secret_key; do keep "$name" "$(random)"; done
app=$(random) platform=$(random)
keep database_url "postgres://shingle_app:$app@postgres:5432/shingle?sslmode=disable"
keep platform_database_url "postgres://shingle_platform:$platform@postgres:5432/shingle?sslmode=disable"
keep migrate_database_url "postgres://shingle_owner:$(cat secrets/owner_password)@postgres:5432/shingle?sslmode=disable"
# Files are mounted one by one and read by other users there; here the folder is closed.
chmod 644 secrets/*
chmod 700 secrets
for name in stripe_key stripe_webhook_secret smtp_url; do
	if [ ! -s "secrets/$name" ]; then
		echo "still empty: deploy/secrets/$name"
		: > "secrets/$name"
		chmod 644 "secrets/$name"
	fi
done
