#!/bin/sh
# Heavy checks of the wire against a running gateway, by hand: h2spec, slowhttptest, the storms.
#
#   tests/tools/wire.sh HOST PORT TOKEN [TLS_PORT]
#
# Wants h2spec (go install github.com/summerwind/h2spec/cmd/h2spec@latest) and slowhttptest
# (Debian) in the PATH. h2spec's one exception without TLS is its bad preface: a plain port serves
# HTTP/1.1 too, which answers it 400 and closes (RFC 9113 section 3.3).
set -eu
host=$1 port=$2 token=$3
path=/koodrive/test/echo

h2spec -h "$host" -p "$port" -P "$path" --timeout 2 || true
if [ $# -gt 3 ]; then
    h2spec -t -k -h "$host" -p "$4" -P "$path" --timeout 2
fi

probe() {
    curl -s -m 5 -o /dev/null -w "$1: %{http_code} after %{time_total} s\n" \
        -H "Authorization: Bearer $token" "http://$host:$port$path"
}
for mode in -H -B -X; do
    slowhttptest -c 1000 "$mode" -i 5 -r 300 -l 20 -p 5 -u "http://$host:$port$path" >/dev/null &
    sleep 10
    probe "during slowhttptest $mode"
    wait
    probe "after slowhttptest $mode"
done

KOODRIVE_STORM_CALLS=100000 cargo test --locked --test it storm
KOODRIVE_ROLLING_SECONDS=60 cargo test --locked --test it rolling
