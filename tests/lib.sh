# Shared functions of the test suites with real servers; sourced by tests/NAME/run under `set -euo pipefail`.
#
#   root=…, folder=…    set when sourced: the repository, and a temporary folder that is removed at exit
#   start_kubernetes [OPTION…]          starts a real control plane, sets $kubeconfig and $kubectl; exits with 77 if not available
#   stop_kubernetes                     stops the control plane and deletes its data
#   render_config URL TOKEN_FILE FILE   writes deploy/alertmanager.yaml with this URL and token file and short intervals to FILE
#   start_alertmanager CONFIG           starts Alertmanager, sets $alertmanager_url; exits with 77 if not available
#   free_port                           prints an unused loopback port
#   start_process NAME COMMAND…         starts a background process that logs to $folder/NAME.log, sets $started to its id
#   stop_process ID [SIGNAL]            sends the signal (default TERM) and waits until the process has exited
#   wait_until SECONDS WHAT COMMAND…    repeats the command until it succeeds; fails with the message WHAT after SECONDS
#   fail MESSAGE                        prints the logs and the message, and ends the test
#
# All servers and processes are stopped when the test ends, including failures and signals.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="$(mktemp -d "${TMPDIR:-/tmp}/chiron-$(basename "$(dirname "$0")").XXXXXX")"
processes=()
started=""

end_test() {
    local status=$? id
    trap - EXIT
    for id in ${processes[@]+"${processes[@]}"}; do stop_process "$id"; done
    [[ ! -d "$folder/alertmanager" ]] || "$root/scripts/servers/alertmanager.sh" stop "$folder/alertmanager" || true
    stop_kubernetes || true
    rm -rf "$folder"
    exit "$status"
}
trap end_test EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_kubernetes() {
    kubeconfig="$("$root/scripts/servers/kubernetes.sh" start "$folder/kubernetes" "$@")" || exit $?
    kubectl="$("$root/scripts/servers/kubernetes.sh" build | sed -n '\|/kubernetes-[^/]*$|p')/kubectl" || exit $?
}

stop_kubernetes() {
    [[ -d "$folder/kubernetes" ]] || return 0
    "$root/scripts/servers/kubernetes.sh" stop "$folder/kubernetes"
    rm -rf "$folder/kubernetes"
}

# The configuration that operators copy, with another address and token, and with intervals so short that repeated and resolved
# notifications arrive within seconds. An interval of 1 ms is the minimum, so that every group interval repeats firing alerts.
render_config() {
    local expected
    {
        # Alerts without an end time resolve this long after the last update.
        printf 'global:\n  resolve_timeout: 5s\n'
        sed -e "s|url: .*|url: \"$1\"|" -e "s|credentials_file: .*|credentials_file: \"$2\"|" \
            -e 's|group_by: .*|group_by: ["..."]|' -e 's|group_wait: .*|group_wait: 1s|' \
            -e 's|group_interval: .*|group_interval: 2s|' -e 's|repeat_interval: .*|repeat_interval: 1ms|' \
            "$root/deploy/alertmanager.yaml"
    } >"$3"
    for expected in "url: \"$1\"" "credentials_file: \"$2\"" group_by: group_wait: group_interval: repeat_interval: send_resolved:; do
        grep -qF "$expected" "$3" || fail "deploy/alertmanager.yaml has no line for $expected"
    done
}

start_alertmanager() {
    alertmanager_url="$("$root/scripts/servers/alertmanager.sh" start "$folder/alertmanager" "$1")" || exit $?
}

free_port() { "$root/scripts/servers/free-port.sh"; }

start_process() {
    local name="$1"
    shift
    "$@" >>"$folder/$name.log" 2>&1 </dev/null &
    started=$!
    processes+=("$started")
}

stop_process() {
    kill "-${2:-TERM}" "$1" 2>/dev/null || true
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

wait_until() {
    local seconds="$1" what="$2" deadline=$((SECONDS + $1))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "timeout after $seconds s: $what"
        sleep 0.2
    done
}

fail() {
    local log
    for log in "$folder"/*.log "$folder"/alertmanager/*.log "$folder"/kubernetes/*.log; do
        [[ -s "$log" ]] || continue
        echo "--- the end of ${log#"$folder"/}"
        tail -n 40 "$log"
    done
    echo "FAILED: $*"
    exit 1
}
