#!/bin/sh
# Make the database cluster on first start, then become the server.
# POSTGRES_USER, POSTGRES_PASSWORD_FILE, POSTGRES_DB, POSTGRES_INITDB_ARGS and PGDATA mean what they mean in the official image.
set -eu

umask 077
user=${POSTGRES_USER:-postgres}

if [ "${1:-}" != postgres ]; then
    exec "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ ! -s "${POSTGRES_PASSWORD_FILE:-}" ]; then
        echo "POSTGRES_PASSWORD_FILE must name a file that holds the password of $user." >&2
        exit 1
    fi
    # Made beside its place and moved there whole, so that a first start cut short begins anew.
    # PGDATA is therefore a folder in the volume, not the volume's mount point.
    fresh="$PGDATA.fresh"
    rm -rf "$fresh"
    # Mounted Secrets end without a newline; initdb reads the first line either way.
    # shellcheck disable=SC2086  # the arguments are meant to be split
    initdb --pgdata="$fresh" --username="$user" --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=scram-sha-256 --auth-host=scram-sha-256 --data-checksums ${POSTGRES_INITDB_ARGS:-}
    echo 'host all all all scram-sha-256' >> "$fresh/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$fresh/postgresql.auto.conf"
    database=${POSTGRES_DB:-$user}
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE \"$database\";" | postgres --single -D "$fresh" postgres > /dev/null
    fi
    mv -T "$fresh" "$PGDATA"
fi

exec "$@"
