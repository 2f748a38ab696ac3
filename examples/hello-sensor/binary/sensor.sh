#!/bin/sh
# A sensor of sorts: the machine's load, a reading every INTERVAL_SECONDS, the newest also by itself for the health check.
set -eu
trap 'exit 0' TERM INT

log=$LEONORE_DATA_DIR/readings.csv
newest=$LEONORE_DATA_DIR/newest
count=0

echo "hello-sensor $LEONORE_VERSION on $LEONORE_GATEWAY_ID, every ${INTERVAL_SECONDS:-1} s"
while :; do
  read -r load _ < /proc/loadavg || load=0
  now=$(date +%s)
  echo "$now,$load" >> "$log"
  echo "$now" > "$newest.new"
  mv "$newest.new" "$newest"
  count=$((count + 1))
  # A gateway's disk is small: start again with the newest 500 readings once there are 1000.
  if [ "$count" -ge 1000 ]; then
    tail -n 500 "$log" > "$log.new"
    mv "$log.new" "$log"
    count=500
  fi
  # In the background, so that TERM is answered at once.
  sleep "${INTERVAL_SECONDS:-1}" &
  wait $!
done
