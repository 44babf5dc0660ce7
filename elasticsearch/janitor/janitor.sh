#!/bin/sh
# Deletes trace indices past their time, once an hour.
set -eu
umask 077

printf 'user = "jaeger:%s"\n' "$(cat /run/secrets/jaeger_password)" >/tmp/curl.conf

call() {
  curl -sSf -K /tmp/curl.conf --max-time 60 "$@"
}

# A daily index carries its day at the end of its name, which sorts like the day.
delete_old_traces() {
  oldest=$(date -u -d "-$TRACES_RETENTION_DAYS days" +%Y-%m-%d)
  indices=$(call "$ELASTICSEARCH_URL/_cat/indices/jaeger-*?h=index&expand_wildcards=open") || return 1
  for index in $indices; do
    day=$(echo "$index" | sed -n 's/^jaeger-.*-\([0-9]\{4\}-[0-9]\{2\}-[0-9]\{2\}\)$/\1/p')
    if [ -n "$day" ] && [ "$(printf '%s\n' "$day" "$oldest" | sort | head -n 1)" = "$day" ] && [ "$day" != "$oldest" ]; then
      call -o /dev/null -X DELETE "$ELASTICSEARCH_URL/$index" || return 1
      echo "deleted index $index"
    fi
  done
}

while true; do
  if delete_old_traces; then
    touch /tmp/done
    pause=3600
  else
    echo "not everything could be looked at; trying again in a minute" >&2
    pause=60
  fi
  sleep "$pause"
done
