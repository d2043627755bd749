#!/usr/bin/env bash
# The distribution's Alertmanager, for tests.
#
#   alertmanager.sh install           makes sure that it is installed, prints the path of the program
#   alertmanager.sh start DIR CONFIG  starts it on a free loopback port with its state in DIR, waits until it is ready, prints its URL;
#                                     DIR then holds alertmanager.pid, alertmanager.url and alertmanager.log
#   alertmanager.sh stop DIR          stops the one started in DIR, by its process id
#
# Exits with 77, and `SKIPPED alertmanager: why` on standard error, where it cannot be had.
set -euo pipefail

say() { echo "alertmanager: $*" >&2; }
fail() { say "$*"; exit 1; }
skip() { echo "SKIPPED alertmanager: $*" >&2; exit 77; }

# Debian calls it prometheus-alertmanager, everybody else alertmanager.
program() { command -v prometheus-alertmanager || command -v alertmanager; }

install() {
    program && return
    command -v apt-get >/dev/null || skip "it is not installed and there is no apt-get; hint: put alertmanager on PATH"
    [[ "$(id -u)" == 0 ]] || skip "it is not installed and only root can; hint: apt-get install prometheus-alertmanager"
    say "installing the Debian package prometheus-alertmanager (apt-get)"

    # The package would start a service of its own; a test must not. This is Debian's switch for that.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e "$policy" ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    local log
    log="$(mktemp)"
    if ! { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus-alertmanager; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        skip "apt-get could not install prometheus-alertmanager"
    fi
    rm -f "$log"
    program || fail "prometheus-alertmanager was installed, but is not on PATH"
}

# Ours, and alive: the id stands in the file and its process still is an alertmanager.
alive() { [[ -r "/proc/$1/cmdline" ]] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q alertmanager; }

start() {
    local dir="$1" config="$2" binary pid address="" deadline
    [[ -r "$config" ]] || fail "cannot read the configuration $config"
    mkdir -p "$dir"
    [[ ! -e "$dir/alertmanager.pid" ]] || fail "$dir/alertmanager.pid exists; hint: stop that one first"
    # Spelled out, for `exit` in a command substitution leaves only the substitution.
    binary="$(install)" || exit $?

    : >"$dir/alertmanager.log" # Read below, maybe before the program has begun.
    # Port 0: the system picks one that is free, and the log says which.
    "$binary" --config.file="$config" --storage.path="$dir/data" \
        --web.listen-address=127.0.0.1:0 --cluster.listen-address= \
        >"$dir/alertmanager.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/alertmanager.pid"

    deadline=$((SECONDS + 120))
    while ((SECONDS < deadline)); do
        if ! kill -0 "$pid" 2>/dev/null; then
            rm -f "$dir/alertmanager.pid"
            cat "$dir/alertmanager.log" >&2
            fail "it ended while starting; its log is above"
        fi
        address="$(sed -n 's/.*Listening on.* address=\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$dir/alertmanager.log" | head -n 1)"
        if [[ -n "$address" ]] && ready "$address"; then
            echo "http://$address" | tee "$dir/alertmanager.url"
            return
        fi
        sleep 0.1
    done
    stop "$dir"
    cat "$dir/alertmanager.log" >&2
    fail "it was not ready within 120 s; its log is above"
}

# Asks /-/ready, with nothing but bash: curl is not everywhere.
ready() {
    local status=""
    exec 3<>"/dev/tcp/${1%:*}/${1#*:}" || return 1
    printf 'GET /-/ready HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" >&3
    read -r -t 2 status <&3 || true
    exec 3>&-
    [[ "$status" == *" 200 "* ]]
} 2>/dev/null

stop() {
    local dir="$1" pid
    [[ -r "$dir/alertmanager.pid" ]] || return 0
    pid="$(<"$dir/alertmanager.pid")"
    rm -f "$dir/alertmanager.pid" "$dir/alertmanager.url"
    alive "$pid" || return 0
    kill "$pid" 2>/dev/null || true
    for _ in {1..100}; do
        alive "$pid" || return 0
        sleep 0.1
    done
    say "process $pid did not end within 10 s and is killed"
    kill -KILL "$pid" 2>/dev/null || true
}

case "${1:-} $#" in
    "install 1") install ;;
    "start 3") start "$2" "$3" ;;
    "stop 2") stop "$2" ;;
    *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
