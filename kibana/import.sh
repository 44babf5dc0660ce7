#!/bin/sh
# Puts the saved objects of this repository into Kibana. Their ids are fixed, so they are replaced, not doubled.
set -eu
umask 077

printf 'user = "elastic:%s"\n' "$(cat /run/secrets/elastic_password)" >/tmp/curl.conf

for file in "$(dirname "$0")"/saved_objects/*.ndjson; do
  status=$(curl -sS -K /tmp/curl.conf -o /tmp/answer -w '%{http_code}' -H 'kbn-xsrf: setup' \
    -F "file=@$file" "$KIBANA_URL/api/saved_objects/_import?overwrite=true")
  # It answers 200 even where it refuses an object.
  if [ "$status" = 200 ] && grep -q '"success":true' /tmp/answer; then
    echo "$(basename "$file"): imported"
  else
    echo "$(basename "$file"): Kibana answered $status: $(cat /tmp/answer)" >&2
    exit 1
  fi
done
