#!/bin/sh
# Makes elastalert2's indices where they are missing, and starts it. The password is read here, since a variable of the
# container would show in `docker inspect`.
set -eu

ES_PASSWORD=$(cat /run/secrets/elastalert_password)
export ES_PASSWORD ES_USERNAME=elastalert

elastalert-create-index --config /opt/elastalert/config.yaml
exec elastalert --config /opt/elastalert/config.yaml --prometheus_port 9979 --prometheus_addr 0.0.0.0
