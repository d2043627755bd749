# What the suites with real servers share; to be sourced by tests/NAME/run under `set -euo pipefail`.
#
#   root=…, folder=…    set by sourcing: the repository, and a temporary folder that is removed at the end
#   start_kubernetes [OPTION…]          starts a real control plane, sets $kubeconfig and $kubectl; exits with 77 if it cannot be had
#   stop_kubernetes                     stops it, and forgets all that it held
#   render_config URL TOKEN_FILE FILE   writes Alertmanager's configuration: deliver to URL with the token of TOKEN_FILE
#   start_alertmanager CONFIG           starts it, sets $alertmanager_url; exits with 77 if it cannot be had
#   free_port                           prints a loopback port that nobody listens on
#   start_process NAME COMMAND…         runs it in the background with its output in $folder/NAME.log, sets $started to its id
#   stop_process ID [SIGNAL]            sends the signal (TERM) and waits until it is gone
#   wait_until SECONDS WHAT COMMAND…    repeats the command until it succeeds, or fails saying WHAT did not happen
#   fail WHY                            ends the test, showing the logs
#
# Whatever was started here is stopped when the test ends, however it ends.

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

render_config() {
    sed -e "s|@WEBHOOK_URL@|$1|" -e "s|@TOKEN_FILE@|$2|" "$root/tests/alertmanager/alertmanager.yml.in" >"$3"
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
        ((SECONDS < deadline)) || fail "$what: not within $seconds s"
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
