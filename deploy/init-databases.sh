#!/bin/sh
# Run once by the PostgreSQL image: a database for the data beside the one for Dagster.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --command "create database efo owner \"$POSTGRES_USER\" encoding 'UTF8' template template0"
