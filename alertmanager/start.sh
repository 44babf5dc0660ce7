#!/bin/sh
# Makes Alertmanager's configuration out of alertmanager.yml, which tells how, and starts Alertmanager with it.
# With --print it only shows the result.
#   ALERT_SECRETS_DIR  where the secrets are: a file each, empty or absent for what is not configured
#   ALERT_TEMPLATE     the file to start from
set -eu
umask 077

secrets=${ALERT_SECRETS_DIR:-/run/secrets}
template=${ALERT_TEMPLATE:-/etc/alertmanager/alertmanager.yml}

# Nobody is left out because only one address was given.
export ALERT_MAIL_ON_CALL="${ALERT_MAIL_ON_CALL:-}"
export ALERT_MAIL_TEAM="${ALERT_MAIL_TEAM:-$ALERT_MAIL_ON_CALL}"
export ALERT_MAIL_PLATFORM="${ALERT_MAIL_PLATFORM:-$ALERT_MAIL_TEAM}"
export ALERT_MAIL_BACKUP="${ALERT_MAIL_BACKUP:-$ALERT_MAIL_ON_CALL}"

assemble() {
  awk -v secrets="$secrets" '
    function configured(name,    line, found) {
      if (ENVIRON[name] != "") return 1
      found = (getline line < (secrets "/" name)) > 0 && line != ""
      close(secrets "/" name)
      return found
    }
    # The word behind a marker.
    function word(marker,    rest) {
      rest = substr($0, index($0, marker) + length(marker))
      sub(/ .*/, "", rest)
      return rest
    }
    # A quote inside ends the text in YAML unless it is doubled; what is true or false must stay without quotes.
    function scalar(value) {
      if (value ~ /^(true|false)$/) return value
      gsub(/\047/, "\047\047", value)
      return "\047" value "\047"
    }
    {
      match($0, /^ */)
      indent = RLENGTH
      if (skipping && (indent > skipped || $0 == "")) next
      skipping = 0
    }
    index($0, "# only with ") && $0 !~ /^ *#/ && !configured(word("# only with ")) {
      skipping = 1
      skipped = indent
      next
    }
    index($0, "# set by ") && $0 !~ /^ *#/ && ENVIRON[word("# set by ")] != "" {
      print substr($0, 1, index($0, ": ") + 1) scalar(ENVIRON[word("# set by ")])
      next
    }
    {
      gsub("/run/secrets/", secrets "/")
      print
    }
  ' "$template"
}

if [ "${1:-}" = --print ]; then
  assemble
  exit
fi
assemble > /tmp/alertmanager.yml
exec alertmanager --config.file=/tmp/alertmanager.yml "$@"
