#!/bin/sh
# Run once by the Postgres image on an empty data directory: the owner of the
# schema, who may make the two logins that the program itself uses.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" -v password="$(cat /run/secrets/owner_password)" <<'SQL'
CREATE ROLE shingle_owner LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE shingle OWNER shingle_owner;
SQL
