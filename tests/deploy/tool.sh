# An internal tool: gets an SSO token, then calls; one status a line. CALLS ends it, MORE goes on
# for so many seconds after it was asked to stop.
stop=
trap 'stop=$(date +%s)' TERM
ask() { curl --silent --insecure --max-time 20 "$@"; }
until token=$(ask --fail 'https://sso.example.com/realms/tools/demo-token?subject=alice'); do sleep 1; done
count=0
while [ "$count" -lt "${CALLS:-1000000}" ]; do
    status=$(ask --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $token" \
        "${KOODRIVE_URL:-http://127.0.0.1:8080}/koodrive/ose/v1/userList?count=$count")
    echo "$(date +%s.%N) status $status"
    count=$((count + 1))
    [ -z "$stop" ] || [ "$(date +%s)" -lt $((stop + ${MORE:-3})) ] || exit 0
    sleep 0.2 &
    wait $!
done
