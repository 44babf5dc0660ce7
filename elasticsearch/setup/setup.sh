#!/bin/sh
# Users, roles, templates and retention of Elasticsearch. Every call sets something to what it says here, so that the
# script may run at every start, and after a change of a file or a password.
set -eu
umask 077

here=$(dirname "$0")
printf 'user = "elastic:%s"\n' "$(cat /run/secrets/elastic_password)" >/tmp/curl.conf

# put WHAT METHOD PATH BODY: one call; what Elasticsearch says is shown where it refuses.
put() {
  status=$(printf '%s' "$4" | curl -sS -K /tmp/curl.conf -o /tmp/answer -w '%{http_code}' -X "$2" \
    -H 'Content-Type: application/json' --data-binary @- "$ELASTICSEARCH_URL$3")
  case $status in
    2*) echo "$1: done" ;;
    *) echo "$1: Elasticsearch answered $status: $(cat /tmp/answer)" >&2; exit 1 ;;
  esac
}

# with_retention FILE: a template with the retention of .env in it.
with_retention() {
  sed "s/@LOGS_RETENTION@/$LOGS_RETENTION/" "$1"
}

name_of() {
  basename "$1" .json
}

for file in "$here"/component_templates/*.json; do
  put "component template $(name_of "$file")" PUT "/_component_template/$(name_of "$file")" "$(cat "$file")"
done

for file in "$here"/index_templates/*.json; do
  put "index template $(name_of "$file")" PUT "/_index_template/$(name_of "$file")" "$(with_retention "$file")"
done

# Each role has one user of the same name.
for file in "$here"/roles/*.json; do
  name=$(name_of "$file")
  put "role $name" PUT "/_security/role/$name" "$(cat "$file")"
  put "user $name" PUT "/_security/user/$name" \
    "{\"password\": \"$(cat "/run/secrets/${name}_password")\", \"roles\": [\"$name\"]}"
done

put "password of kibana_system" POST /_security/user/kibana_system/_password \
  "{\"password\": \"$(cat /run/secrets/kibana_system_password)\"}"

# Made now, so that dashboards have something to look at before the first line; and an old stream takes the retention
# of today, which the template gives to new ones only.
for stream in logs-agents-default logs-agents.rejected-default; do
  status=$(curl -sS -K /tmp/curl.conf -o /dev/null -w '%{http_code}' "$ELASTICSEARCH_URL/_data_stream/$stream")
  if [ "$status" = 404 ]; then
    put "data stream $stream" PUT "/_data_stream/$stream" ""
  fi
  put "retention of $stream" PUT "/_data_stream/$stream/_lifecycle" "{\"data_retention\": \"$LOGS_RETENTION\"}"
done
