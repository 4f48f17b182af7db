# Run inside a network namespace of its own: a stream's peer vanishes without a word, as all packets do once the
# loopback interface is down. Prints how many streams the service counts after SHORT and after LONG seconds of that.
# Usage: vanish.sh PARLOUR SHORT LONG
set -eu
parlour=$1 short=$2 long=$3
folder=$(mktemp -d)
trap 'kill $listener $server 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
base=http://127.0.0.1:8080

ip link set lo up
"$parlour" --listen 127.0.0.1:8080 --database-url "sqlite://$folder/parlour.db?mode=rwc" >"$folder/log" 2>&1 &
server=$!
listener=$server
until curl -sf "$base/readyz" >/dev/null; do
    kill -0 $server || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done

opened=$(curl -sS "$base/v1/sessions" -d '{"device_id": "a-device-that-vanishes"}')
events=$(echo "$opened" | sed 's/.*"events_url":"\([^"]*\)".*/\1/')
curl -sN "$base$events" >"$folder/events" &
listener=$!
streams() { curl -sS "$base/metrics" | sed -n 's/^parlour_streams //p'; }
until [ "$(streams)" = 1 ]; do sleep 0.1; done

for seconds in "$short" "$long"; do
    ip link set lo down
    sleep "$seconds"
    ip link set lo up
    streams
done
