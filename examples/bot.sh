#!/usr/bin/env bash
# A bot that answers in a room, with bash, curl and jq:
#
#     BASE=http://127.0.0.1:8080 examples/bot.sh room:lobby
#
# A cut or a restart of the service costs it nothing: the id of the last event says where to go on, and each answer has
# an idempotency key, so that no command stays without an answer or gets two. Ctrl-C signs it out. Whoever sets
# DEVICE_ID, a secret of 16 to 128 characters, has the same bot again the next time.
set -uo pipefail

BASE=${BASE:-http://127.0.0.1:8080}
TOPIC=${1:-room:lobby}
DEVICE_ID=${DEVICE_ID:-$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')}

TOKEN='' LAST='' PAUSE=1 CURL='' STATUS='' BODY=''
ROOM=$(jq -rn --arg topic "$TOPIC" '$topic | @uri') || exit

# A signal ends a `wait`, but no `sleep`. Some tenths by chance keep bots from coming back all at once.
rest() {
    sleep "$PAUSE.$((RANDOM % 10))" &
    wait $!
    PAUSE=$((PAUSE < 16 ? PAUSE * 2 : 30))
}

# To curl as a configuration: arguments can be seen by everybody on the machine.
authorization() {
    [[ ! $TOKEN ]] || printf 'header = "Authorization: Bearer %s"\n' "$TOKEN"
}

# call METHOD PATH [JSON [HEADER]]: sets STATUS and BODY. Tries again while the service is away or says "later".
call() {
    local answer
    while true; do
        answer=$(curl -sS --max-time 30 --config <(authorization) -X "$1" ${3:+-d "$3"} ${4:+-H "$4"} \
            -w '\n%{http_code}' "$BASE$2")
        STATUS=${answer##*$'\n'} BODY=${answer%$'\n'*}
        [[ $STATUS == 000 || $STATUS == 429 || $STATUS == 5?? ]] || break
        rest
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

# A stream ends long before its session's token does, so a new token for each stream is often enough.
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

# What a message asks for, as words that are safe to read: a message holds any JSON, and most of it is none of ours.
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
    # 422 is the key: it has been answered, in other words than these.
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

# Reads the stream to its end. A comment comes at least every 15 seconds, so a minute of silence is a dead line. What was
# missed and is too much to be sent (`gap`) was asked so long ago that nobody waits for an answer.
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
    hang_up
    # The session has ended, or its stream is now somebody else's.
    if [[ $status == 204 || $status == 401 ]]; then sign_in; fi
}

hang_up() {
    [[ $CURL ]] || return 0
    kill "$CURL" 2>/dev/null
    wait "$CURL" 2>/dev/null
    exec {stream}<&-
    CURL=''
}

leave() {
    trap '' INT TERM
    hang_up
    kill $(jobs -p) 2>/dev/null
    [[ ! $TOKEN ]] || curl -sS --max-time 3 --config <(authorization) -X DELETE "$BASE/v1/session" >/dev/null 2>&1
}

trap leave EXIT
trap 'exit 0' INT TERM

sign_in
echo "bot: listening in $TOPIC"
while true; do
    listen
    rest
    refresh
done
