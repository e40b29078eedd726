#!/bin/sh
# Writes one dump of Conciliar's schema and keeps the newest KEEP of them:
#
#   DATABASE_URL=postgres:///conciliar BACKUP_DIR=/var/backups/conciliar KEEP=14 backup.sh
#
# A password belongs into PGPASSWORD or a password file: pg_dump's arguments are for
# everybody on the machine to see. conciliar-backup.timer runs it every night.
#
# A dump loses what came after it, and a reconciliation finds what was paid meanwhile.
# Continuous archiving loses nothing; docs/postgresql.md says when which is enough.
set -eu

: "${DATABASE_URL:?is not set}"
dir=${BACKUP_DIR:-/var/backups/conciliar}
keep=${KEEP:-14}
schema=${DATABASE_SCHEMA:-conciliar}

umask 077
mkdir -p "$dir"
name=conciliar-$(date -u +%Y%m%dT%H%M%SZ).dump
trap 'rm -f "$dir/.$name"' EXIT

pg_dump --format=custom --schema="$schema" --dbname="$DATABASE_URL" --file="$dir/.$name"
# Half a dump must not count as one.
pg_restore --list "$dir/.$name" >/dev/null
mv "$dir/.$name" "$dir/$name"
echo "$dir/$name"

find "$dir" -name 'conciliar-*.dump' -type f | sort -r | tail -n +"$((keep + 1))" | while read -r old; do
	rm -f "$old"
	echo "removed $old"
done
