#!/bin/sh
# All heavy checks of the wire, by hand, each as often as you like. Everything is on loopback.
#
#   tests/tools/wire.sh                              starts simulators and release gateways itself
#   tests/tools/wire.sh HOST PORT TOKEN [TLS_PORT]   the checks a running gateway can be put to;
#                                                    limit.mode must be "off"
#   tests/tools/wire.sh TOOL                         only one: h2spec, tls, slowhttptest, floods,
#                                                    idle, slow-bodies, storm, rolling
#
# Wants Go (h2spec is built from its source), sslyze (pip install sslyze; SSLYZE names another),
# slowhttptest (Debian), Python 3.11 and, for slow-bodies, root and control groups. Exits 0 only if
# every check went well.
#
# One failure of h2spec is expected on a plain port, "3.5. 2: Sends invalid connection preface": the
# port serves HTTP/1.1 too, which answers such bytes 400 and closes (RFC 9113 sections 3.3 and 3.4).
# Without a token "5.1. 9: HEADERS frame after sending RST_STREAM frame" fails now and then: the
# refusal is out, and the stream reset by us, before the RST_STREAM arrives; what follows on such a
# stream is ignored (RFC 9113 sections 5.1 and 8.1).
set -u
tools=$(dirname "$0")
path=/koodrive/test/echo
failed=

check() {
    echo "== $1"
    if "check_$1"; then echo "== $1: well"; else failed="$failed $1" && echo "== $1: NOT well"; fi
}

# A plain port may fail in its preface and in nothing else.
check_h2spec() {
    export H2SPEC_TOKEN="$TOKEN"
    said=$("$tools/h2spec" -h "$HOST" -p "$PORT" -P "$path" --timeout 2)
    failures=$(echo "$said" | sed -n '/^Failures:/,$p' | grep '×')
    echo "plain: $(echo "$said" | tail -1); $failures"
    [ "$(echo "$failures" | grep '×' | grep -cv '× 2: Sends invalid connection preface')" = 0 ] || return 1
    [ -n "${TLS_PORT:-}" ] || return 0
    said=$("$tools/h2spec" -t -k -h "$HOST" -p "$TLS_PORT" -P "$path" --timeout 2)
    passed=$?
    echo "TLS: $(echo "$said" | tail -1)"
    for log in "${GATEWAY_LOG:-}" "${GATEWAY_TLS_LOG:-}"; do
        [ -z "$log" ] && continue
        crossed=$(grep -c '"status":200,.*"attempts":1' "$log")
        echo "$crossed calls crossed to KooDrive and came back with 200"
        [ "$crossed" -gt 0 ] || return 1
    done
    return $passed
}

# That nobody of note signed the certificate is the only complaint allowed.
check_tls() {
    said=$("${SSLYZE:-sslyze}" --mozilla_config=intermediate "$HOST:$TLS_PORT" 2>/dev/null)
    echo "$said" | sed -n '/SSL 2.0 Cipher/,/SCANS COMPLETED/p;/COMPLIANCE/,$p'
    echo "$said" | grep -q 'COMPLIANCE' &&
        [ "$(echo "$said" | grep '^  *\* [a-z_]*:' | grep -cv 'certificate_path_validation')" = 0 ]
}

probe() {
    said=$(curl -s -m 5 -o /dev/null -w "%{http_code} after %{time_total} s" \
        -H "Authorization: Bearer $TOKEN" "http://$HOST:$PORT$path")
    echo "$1: $said"
    [ "${said%% *}" = 200 ]
}

check_slowhttptest() {
    well=0
    for mode in -H -B -X; do
        slowhttptest -c 1000 "$mode" -i 5 -r 300 -l 20 -p 5 -u "http://$HOST:$PORT$path" >/dev/null &
        sleep 10
        probe "during slowhttptest $mode" || well=1
        wait
        probe "after slowhttptest $mode" || well=1
    done
    return $well
}

check_floods() { "$tools/floods"; }
check_idle() { "$tools/idle-connections"; }
check_slow_bodies() { "$tools/slow-bodies"; }
check_storm() { KOODRIVE_STORM_CALLS=100000 cargo test --locked --test it storm; }
check_rolling() { KOODRIVE_ROLLING_SECONDS=60 cargo test --locked --test it rolling; }

case "$#:${1:-}" in
0:)
    exec "$tools/stage.py" "$0" --staged h2spec tls slowhttptest floods idle slow-bodies storm rolling
    ;;
1:h2spec | 1:tls | 1:slowhttptest)
    exec "$tools/stage.py" "$0" --staged "$1"
    ;;
*:--staged)
    shift
    ;;
1:*)
    ;;
*)
    HOST=$1 PORT=$2 TOKEN=$3 TLS_PORT=${4:-}
    if [ -n "$TLS_PORT" ]; then set -- h2spec tls slowhttptest; else set -- h2spec slowhttptest; fi
    ;;
esac
for each; do
    check "$(echo "$each" | tr - _)"
done
[ -z "$failed" ] || echo "not well:$failed"
[ -z "$failed" ]
