#!/usr/bin/env bash
# A bot that answers commands in a room, with bash, curl and jq:
#
#     BASE=http://127.0.0.1:8080 examples/bot.sh room:lobby
#
# It loses nothing when the connection breaks or the service restarts: the id of the last event says where to continue, and
# each answer has an idempotency key, so each command gets exactly one answer. Ctrl-C signs it out. With DEVICE_ID, a
# secret of 16 to 128 characters, it is the same user at each start.
set -uo pipefail

BASE=${BASE:-http://127.0.0.1:8080}
TOPIC=${1:-room:lobby}
DEVICE_ID=${DEVICE_ID:-$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')}

TOKEN='' LAST='' PAUSE=1 CURL='' STATUS='' BODY=''
ROOM=$(jq -rn --arg topic "$TOPIC" '$topic | @uri') || exit

# A signal ends a `wait`, but not a `sleep`. The random tenths keep bots from reconnecting all at once.
wait_before_retry() {
    sleep "$PAUSE.$((RANDOM % 10))" &
    wait $!
    PAUSE=$((PAUSE < 16 ? PAUSE * 2 : 30))
}

# A configuration for curl, because every user of the machine can see arguments.
authorization() {
    [[ ! $TOKEN ]] || printf 'header = "Authorization: Bearer %s"\n' "$TOKEN"
}

# call METHOD PATH [JSON [HEADER]]: sets STATUS and BODY. Retries while the service cannot be reached or returns 429 or 5xx.
call() {
    local response
    while true; do
        response=$(curl -sS --max-time 30 --config <(authorization) -X "$1" ${3:+-d "$3"} ${4:+-H "$4"} \
            -w '\n%{http_code}' "$BASE$2")
        STATUS=${response##*$'\n'} BODY=${response%$'\n'*}
        [[ $STATUS == 000 || $STATUS == 429 || $STATUS == 5?? ]] || break
        wait_before_retry
    done
}

sign_in() {
    TOKEN='' LAST=''
    call POST /v1/sessions "$(jq -n --arg device "$DEVICE_ID" '{device_id: $device, username: "Bot"}')"
    use_token 201
    ME=$(jq -r .session.user.user_id <<<"$BODY")
    call PUT "/v1/session/topics/$ROOM"
    [[ $STATUS == 200 ]] || give_up
}

# A stream ends long before the token of its session expires, so a new token for each stream is enough.
refresh() {
    call POST /v1/session/refresh
    if [[ $STATUS == 401 ]]; then sign_in; else use_token 200; fi
}

use_token() {
    [[ $STATUS == "$1" ]] || give_up
    TOKEN=$(jq -r .token <<<"$BODY")
}

give_up() {
    echo "bot: $STATUS $BODY" >&2
    exit 1
}

# Prints the command of a message as words that are safe to read. A message may hold any JSON, so everything that is not a
# command is dropped.
command_of() {
    jq -r --arg me "$ME" '
        select(.code == 0 and .sender.user_id != $me)
        | .id as $id
        | .content | if type == "object" then .text else . end | strings
        | capture("^!(?<what>help|time|roll)( (?<dice>[1-9][0-9]?)d(?<sides>[1-9][0-9]{0,2}))?$")
        | "\($id) \(.what) \(.dice // 1) \(.sides // 6)"'
}

answer_to() { # MESSAGE
    local id what dice sides text
    read -r id what dice sides < <(command_of <<<"$1") || return 0
    case $what in
        help) text='!time says what time it is, !roll or !roll 2d6 rolls dice.' ;;
        time) text="It is $(date -u +%H:%M:%S) UTC." ;;
        roll) text=$(roll "$dice" "$sides") ;;
    esac
    call POST "/v1/topics/$ROOM/messages" "$(jq -n --arg text "$text" '{content: {text: $text}}')" \
        "Idempotency-Key: answer-to-$id"
    # 422 means that the key was used: the command was answered before, with another text.
    [[ $STATUS == 20[01] || $STATUS == 422 ]] || echo "bot: not answered: $STATUS $BODY" >&2
}

roll() { # DICE SIDES
    local sum=0 rolled=() i
    for ((i = 0; i < $1; i++)); do
        rolled+=($((RANDOM % $2 + 1)))
        sum=$((sum + rolled[i]))
    done
    echo "${rolled[*]} makes $sum."
}

# Reads the stream to its end. The service sends a comment at least every 15 seconds, so a stream that is silent for a
# minute is dead. Commands in a `gap` are ignored: they are so old that no user waits for the answer.
listen() {
    local line event='' data='' id='' status=''
    exec {stream}< <(exec curl -sSN --config <(authorization) -H "Last-Event-ID: $LAST" \
        -w '\nhttp %{http_code}\n' "$BASE/v1/session/events")
    CURL=$!
    while IFS= read -r -t 60 -u "$stream" line; do
        case $line in
            'event: '*) event=${line#event: } ;;
            'data: '*) data=${line#data: } ;;
            'id: '*) id=${line#id: } ;;
            'http '*) status=${line#http } ;;
            '')
                [[ $event == message ]] && answer_to "$data"
                [[ $event ]] && PAUSE=1
                LAST=${id:-$LAST} event='' data='' id=''
                ;;
        esac
    done
    close_stream
    # The session has ended, or another stream has replaced this one.
    if [[ $status == 204 || $status == 401 ]]; then sign_in; fi
}

close_stream() {
    [[ $CURL ]] || return 0
    kill "$CURL" 2>/dev/null
    wait "$CURL" 2>/dev/null
    exec {stream}<&-
    CURL=''
}

leave() {
    trap '' INT TERM
    close_stream
    kill $(jobs -p) 2>/dev/null
    [[ ! $TOKEN ]] || curl -sS --max-time 3 --config <(authorization) -X DELETE "$BASE/v1/session" >/dev/null 2>&1
}

trap leave EXIT
trap 'exit 0' INT TERM

sign_in
echo "bot: listening in $TOPIC"
while true; do
    listen
    wait_before_retry
    refresh
done
