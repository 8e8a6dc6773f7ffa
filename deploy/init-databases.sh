#!/bin/sh
# Run once by the PostgreSQL image: a database and a role for the data, and for Dagster. Neither role
# is a superuser; each owns its own database and nothing else.
set -eu
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres --no-psqlrc \
  --set password="$EFO_PASSWORD" <<'SQL'
create role efo login password :'password';
create role dagster login password :'password';
create database efo owner efo encoding 'UTF8' template template0;
create database dagster owner dagster encoding 'UTF8' template template0;
revoke connect, temporary on database efo, dagster from public;
SQL
