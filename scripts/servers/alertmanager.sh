#!/usr/bin/env bash
# Installs and runs the Alertmanager of the distribution, for tests.
#
#   alertmanager.sh install           installs it if necessary and prints the path of the program
#   alertmanager.sh start DIR CONFIG  starts it on a free loopback port with its state in DIR, waits until it is ready, prints its URL;
#                                     DIR contains alertmanager.pid, alertmanager.url and alertmanager.log then
#   alertmanager.sh stop DIR          stops the instance started in DIR, by its process id
#
# If Alertmanager is not available, prints `SKIPPED alertmanager: reason` to standard error and exits with 77.
set -euo pipefail

log() { echo "alertmanager: $*" >&2; }
fail() { log "$*"; exit 1; }
skip() { echo "SKIPPED alertmanager: $*" >&2; exit 77; }

# The program is called prometheus-alertmanager on Debian, and alertmanager elsewhere.
program() { command -v prometheus-alertmanager || command -v alertmanager; }

install() {
    program && return
    command -v apt-get >/dev/null || skip "it is not installed and apt-get is not available; hint: add alertmanager to PATH"
    [[ "$(id -u)" == 0 ]] || skip "it is not installed, and the installation requires root; hint: apt-get install prometheus-alertmanager"
    log "installing the Debian package prometheus-alertmanager (apt-get)"

    # Prevents the package from starting a system service (Debian's policy-rc.d).
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

# Checks that the process with this id runs and is an Alertmanager.
alive() { [[ -r "/proc/$1/cmdline" ]] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q alertmanager; }

start() {
    local dir="$1" config="$2" binary pid address="" deadline
    [[ -r "$config" ]] || fail "cannot read the configuration $config"
    mkdir -p "$dir"
    [[ ! -e "$dir/alertmanager.pid" ]] || fail "$dir/alertmanager.pid exists; hint: stop the running instance first"
    # Explicit `exit`, because `exit` in a command substitution ends only the subshell.
    binary="$(install)" || exit $?

    : >"$dir/alertmanager.log" # It is read below, possibly before the program has started.
    # Port 0: the system chooses a free port, which is printed in the log.
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
            fail "it exited during startup; its log is above"
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

# Requests /-/ready with bash only, because curl is not available everywhere.
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
    log "process $pid did not exit within 10 s; killing it"
    kill -KILL "$pid" 2>/dev/null || true
}

case "${1:-} $#" in
    "install 1") install ;;
    "start 3") start "$2" "$3" ;;
    "stop 2") stop "$2" ;;
    *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
