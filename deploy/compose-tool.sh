#!/bin/sh
# An internal tool in a loop: what it knows of the gateway is one address and its own SSO token.
set -eu
gateway=${KOODRIVE_URL:-http://127.0.0.1:8080}
sso=${SSO_URL:-http://127.0.0.1:9400/realms/tools}
preverify=$gateway/koodrive/ose/v1/users/batchimport/preverify
good='{"curDeptId":1575416580416769793,"users":[{"targetDeptName":"R&D","personalCapacity":10,"isAllocateCapacity":true}]}'
bad='{"curDeptId":1575416580416769793,"users":[{"targetDeptName":"R&D","personalCapacity":"10","isAllocateCapacity":true}]}'

call() {
    curl --silent --show-error --max-time 10 --header "Authorization: Bearer $token" \
        --write-out '\n%{http_code} X-Traceid %header{x-traceid}\n' "$@" || true
}

count=0
while [ "$count" -lt "${CALLS:-1000000}" ]; do
    # SSO tokens are short-lived: a new one now and then, as a tool would.
    if [ $((count % 60)) -eq 0 ]; then
        until token=$(curl --silent --show-error --fail --max-time 10 "$sso/demo-token?subject=alice"); do
            sleep 1
        done
    fi
    case $((count % 10)) in
        4) call --json "$bad" "$preverify" ;;
        9) call "$gateway/koodrive/ose/v1/userList?count=$count" ;;
        *) call --json "$good" "$preverify" ;;
    esac
    count=$((count + 1))
    sleep 1
done
