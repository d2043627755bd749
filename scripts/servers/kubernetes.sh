#!/usr/bin/env bash
# Runs a real Kubernetes control plane on loopback, for tests. It is built from the Go modules in this folder and cached by version.
#
#   kubernetes.sh build               builds the programs that are not in the cache, prints their folders
#   kubernetes.sh versions            prints the version of each program
#   kubernetes.sh start DIR [OPTION…] starts etcd, kube-apiserver and kube-controller-manager on free ports with all state in DIR,
#                                     waits until they are ready and prints the path of the administrator's kubeconfig.
#                                     DIR contains kubeconfig, and NAME.pid and NAME.log of each server then
#          --nodes N                  also starts kube-scheduler, kwok (which simulates the kubelets) and N nodes, so that pods run
#   kubernetes.sh stop DIR            stops the servers started in DIR, by their process ids
#   kubernetes.sh kubectl ARG…        runs the kubectl of the same version
#
# The programs are cached in ${XDG_CACHE_HOME:-$HOME/.cache}/chiron/servers/NAME-VERSION-DIGEST, with the digest of their build inputs.
# The first build takes several minutes.
# A build requires Go 1.26 or later and access to the module proxy. A start requires openssl; root installs the Debian package
# if it is missing. If a requirement is not available, prints `SKIPPED kubernetes: reason` to standard error and exits with 77.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/chiron/servers"

log() { echo "kubernetes: $*" >&2; }
fail() { log "$*"; exit 1; }
skip() { echo "SKIPPED kubernetes: $*" >&2; exit 77; }

# ---- programs

# required MODULE PATH: prints the version that the module in this folder requires.
required() { sed -n "s|^\(require \)\{0,1\}[[:space:]]*$2 v\([0-9.]*\).*|\2|p" "$here/$1/go.mod" | head -n 1; }

# Packages and linker flags of each build.
kubernetes_packages=(k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubectl})
kubernetes_flags() {
    local version="$1" major minor base=k8s.io/component-base/version
    IFS=. read -r major minor _ <<<"$version"
    echo "-X $base.gitVersion=v$version -X $base.gitMajor=$major -X $base.gitMinor=$minor -X $base.gitTreeState=clean"
}
etcd_packages=(go.etcd.io/etcd/server/v3)
kwok_packages=(sigs.k8s.io/kwok/cmd/kwok)

# cached NAME VERSION FLAGS PACKAGE…: prints the cache folder of a build. Different build inputs have different folders.
cached() {
    local module="$here/$1" digest
    [[ -n "$2" ]] || fail "$module/go.mod does not require ${4%%/cmd/*}; hint: add a \`require\` line"
    digest="$({ cat "$module/go.mod" "$module/go.sum" && printf '%s\n' "${@:3}"; } | sha256sum)" || return 1
    echo "$cache/$1-$2-${digest:0:8}"
}

# Explicit `exit`, because `exit` in a command substitution ends only the subshell.
kubernetes_version="$(required kubernetes k8s.io/kubernetes)" || exit $?
kubernetes="$(cached kubernetes "$kubernetes_version" "$(kubernetes_flags "$kubernetes_version")" "${kubernetes_packages[@]}")" || exit $?
etcd="$(cached etcd "$(required etcd go.etcd.io/etcd/server/v3)" "" "${etcd_packages[@]}")" || exit $?
kwok="$(cached kwok "$(required kwok sigs.k8s.io/kwok)" "" "${kwok_packages[@]}")" || exit $?

# build_module FOLDER MODULE LINKER_FLAGS PACKAGE…: builds all packages into FOLDER atomically.
build_module() {
    local folder="$1" module="$here/$2" flags="$3" started="$SECONDS" build_folder
    shift 3
    [[ ! -d "$folder" ]] || return 0
    command -v go >/dev/null || skip "${folder##*/} is not in $cache and Go is not installed; hint: install Go 1.26 or later"

    mkdir -p "$cache"
    # Serializes concurrent builds: the second one finds the result of the first one in the cache.
    if command -v flock >/dev/null; then
        exec 9>"$cache/${folder##*/}.lock"
        flock 9
        [[ ! -d "$folder" ]] || return 0
    fi
    log "building ${folder##*/} (once; cached in $cache)"
    build_folder="$(mktemp -d "$cache/.${folder##*/}.XXXXXX")"
    # Expanded now, because the local variables are out of scope when the trap runs.
    # shellcheck disable=SC2064
    trap "rm -rf '$build_folder'" EXIT
    if ! (cd "$module" && GOFLAGS=-mod=readonly GOWORK=off go mod download) >"$build_folder/download.log" 2>&1; then
        tail -n 5 "$build_folder/download.log" >&2
        skip "the Go modules of ${folder##*/} could not be downloaded; hint: check GOPROXY and the Go version in $module/go.mod"
    fi
    rm "$build_folder/download.log"
    (cd "$module" && GOFLAGS=-mod=readonly GOWORK=off \
        nice go build -trimpath -buildvcs=false -ldflags "-s -w $flags" -o "$build_folder/" "$@") >&2 ||
        fail "${folder##*/} did not build"
    # Go names a program after its folder, which is `server` for etcd.
    [[ ! -e "$build_folder/server" ]] || mv "$build_folder/server" "$build_folder/etcd"
    chmod 755 "$build_folder"
    mv "$build_folder" "$folder"
    trap - EXIT
    log "built ${folder##*/} in $((SECONDS - started)) s, $(du -sh "$folder" | cut -f 1)"
}

build_control_plane() {
    build_module "$etcd" etcd "" "${etcd_packages[@]}"
    build_module "$kubernetes" kubernetes "$(kubernetes_flags "$kubernetes_version")" "${kubernetes_packages[@]}"
}

build_kwok() { build_module "$kwok" kwok "" "${kwok_packages[@]}"; }

build() {
    build_control_plane
    build_kwok
    printf '%s\n' "$etcd" "$kubernetes" "$kwok"
}

versions() {
    build >/dev/null
    "$etcd/etcd" --version | sed -n 's/^etcd Version: /etcd /p'
    for program in kube-apiserver kube-controller-manager kube-scheduler; do
        echo "$program $("$kubernetes/$program" --version | sed 's/^Kubernetes v//')"
    done
    echo "kubectl $("$kubernetes/kubectl" version --client -o json | sed -n 's/.*"gitVersion": "v\(.*\)".*/\1/p')"
    echo "kwok $("$kwok/kwok" --version | sed 's/.*version v\{0,1\}\([0-9.]*\).*/\1/')"
}

# ---- certificates: a CA, a server certificate, a certificate for each client, and a key pair for service account tokens

need_openssl() {
    ! command -v openssl >/dev/null || return 0
    command -v apt-get >/dev/null || skip "openssl, which creates the certificates, is not installed and apt-get is not available; hint: add openssl to PATH"
    [[ "$(id -u)" == 0 ]] || skip "openssl, which creates the certificates, is not installed, and the installation requires root; hint: apt-get install openssl"
    log "installing the Debian package openssl (apt-get)"
    local log
    log="$(mktemp)"
    if ! { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssl; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        skip "apt-get could not install openssl, which creates the certificates"
    fi
    rm -f "$log"
    command -v openssl >/dev/null || fail "openssl was installed, but is not on PATH"
}

# If a caller tests the status of a function, bash ignores `set -e` in it: hence `|| return 1`, here and below.
certificate() {
    local name="$1" subject="$2" extension="$3" pki="$4"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
        -keyout "$pki/$name.key" -out "$pki/$name.csr" || return 1
    openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
        -extfile <(printf '%s\n' "$extension") -out "$pki/$name.crt" || return 1
    rm "$pki/$name.csr"
}

certificates() {
    local pki="$1" client=extendedKeyUsage=clientAuth name
    mkdir -p "$pki" || return 1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=chiron-test -days 30 \
        -keyout "$pki/ca.key" -out "$pki/ca.crt" || return 1
    certificate server /CN=kube-apiserver "extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1" "$pki" || return 1
    certificate admin /O=system:masters/CN=admin "$client" "$pki" || return 1
    certificate kube-controller-manager /CN=system:kube-controller-manager "$client" "$pki" || return 1
    certificate kube-scheduler /CN=system:kube-scheduler "$client" "$pki" || return 1
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/accounts.key" || return 1
    openssl pkey -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" || return 1
    for name in {ca,server,admin,kube-controller-manager,kube-scheduler}.{key,crt} accounts.{key,pub}; do
        [[ -s "$pki/$name" ]] || { echo "openssl succeeded, but $pki/$name is missing or empty"; return 1; }
    done
}

encoded() { base64 <"$1" | tr -d '\n'; }

# kubeconfig CLIENT PORT PKI: prints a self-contained kubeconfig with embedded certificates.
kubeconfig() {
    cat <<END
apiVersion: v1
kind: Config
current-context: test
contexts:
- name: test
  context: {cluster: test, user: $1}
clusters:
- name: test
  cluster:
    server: https://127.0.0.1:$2
    certificate-authority-data: $(encoded "$3/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(encoded "$3/$1.crt")
    client-key-data: $(encoded "$3/$1.key")
END
}

# ---- processes

free_port() { "$here/free-port.sh"; }

# alive DIR PID: checks that the process runs and belongs to DIR, which is on the command line of every server.
alive() { [[ -r "/proc/$2/cmdline" ]] && tr '\0' ' ' <"/proc/$2/cmdline" | grep -qF "$1/"; }

# launch DIR NAME PROGRAM ARG…
launch() {
    local dir="$1" name="$2"
    shift 2
    "$@" >"$dir/$name.log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/$name.pid" || return 1
}

# await DIR NAME SECONDS COMMAND…: repeats the command until it succeeds; fails if a server exits or the time is over.
await() {
    local dir="$1" name="$2" deadline=$((SECONDS + $3)) seconds="$3" file
    shift 3
    until "$@" >/dev/null 2>&1; do
        for file in "$dir"/*.pid; do
            kill -0 "$(<"$file")" 2>/dev/null && continue
            name="$(basename "$file" .pid)"
            deadline=0
        done
        if ((SECONDS >= deadline)); then
            tail -n 20 "$dir/$name.log" >&2
            log "$name exited, or was not ready within $seconds s; the end of its log is above"
            return 1
        fi
        sleep 0.2
    done
}

admin() { "$kubernetes/kubectl" --kubeconfig "$1/kubeconfig" --request-timeout=5s "${@:2}"; }

start_etcd() {
    local dir="$1" url="http://127.0.0.1:$2" peer
    peer="http://127.0.0.1:$(free_port)" || return 1
    # The data does not have to survive a power failure.
    launch "$dir" etcd "$etcd/etcd" --name test --data-dir "$dir/etcd" --log-level warn --unsafe-no-fsync \
        --listen-client-urls "$url" --advertise-client-urls "$url" --listen-peer-urls "$peer" \
        --initial-advertise-peer-urls "$peer" --initial-cluster "test=$peer"
}

start_apiserver() {
    local dir="$1" pki="$1/pki"
    launch "$dir" kube-apiserver "$kubernetes/kube-apiserver" --etcd-servers="http://127.0.0.1:$2" \
        --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$3" \
        --tls-cert-file="$pki/server.crt" --tls-private-key-file="$pki/server.key" --client-ca-file="$pki/ca.crt" \
        --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
        --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC \
        --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true --endpoint-reconciler-type=none \
        --kubelet-certificate-authority="$pki/ca.crt" \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key"
}

start_controllers() {
    local dir="$1" pki="$1/pki" own="$1/kube-controller-manager.kubeconfig"
    kubeconfig kube-controller-manager "$2" "$pki" >"$own" || return 1
    launch "$dir" kube-controller-manager "$kubernetes/kube-controller-manager" \
        --kubeconfig="$own" --authentication-kubeconfig="$own" --authorization-kubeconfig="$own" \
        --service-account-private-key-file="$pki/accounts.key" --root-ca-file="$pki/ca.crt" \
        --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 --secure-port=0
}

start_scheduler() {
    local dir="$1" own="$1/kube-scheduler.kubeconfig"
    kubeconfig kube-scheduler "$2" "$dir/pki" >"$own" || return 1
    launch "$dir" kube-scheduler "$kubernetes/kube-scheduler" \
        --kubeconfig="$own" --authentication-kubeconfig="$own" --authorization-kubeconfig="$own" \
        --leader-elect=false --bind-address=127.0.0.1 --secure-port=0
}

start_kwok() {
    local dir="$1" port
    port="$(free_port)" || return 1
    # The log of every container, in the format of the kubelet.
    echo "2026-01-01T00:00:00.000000000Z stdout F listening" >"$dir/container.log" || return 1
    cat >"$dir/kwok.yaml" <<END || return 1
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {name: containers}
spec: {logs: [{logsFile: $dir/container.log}]}
END
    launch "$dir" kwok "$kwok/kwok" --config "$dir/kwok.yaml" --kubeconfig "$dir/kubeconfig" --manage-all-nodes=true --node-lease-duration-seconds 40 \
        --node-ip 127.0.0.1 --node-port "$port" --server-address "127.0.0.1:$port" \
        --tls-cert-file "$dir/pki/server.crt" --tls-private-key-file "$dir/pki/server.key"
}

nodes() {
    local index
    for ((index = 1; index <= $1; index++)); do
        cat <<END
---
apiVersion: v1
kind: Node
metadata:
  name: node-$index
  labels: {kubernetes.io/hostname: node-$index, kubernetes.io/os: linux, kubernetes.io/arch: amd64}
status:
  capacity: {cpu: "8", memory: 16Gi, pods: "110"}
  allocatable: {cpu: "8", memory: 16Gi, pods: "110"}
END
    done
}

try_start() {
    local dir="$1" count="$2" store port
    store="$(free_port)" || return 1
    port="$(free_port)" || return 1
    kubeconfig admin "$port" "$dir/pki" >"$dir/kubeconfig" || return 1
    start_etcd "$dir" "$store" || return 1
    start_apiserver "$dir" "$store" "$port" || return 1
    await "$dir" kube-apiserver 300 admin "$dir" get --raw /readyz || return 1
    start_controllers "$dir" "$port" || return 1
    # The controllers are ready when they have created the default service account and the root CA ConfigMap.
    await "$dir" kube-controller-manager 300 admin "$dir" get serviceaccount/default configmap/kube-root-ca.crt || return 1
    ((count > 0)) || return 0
    start_scheduler "$dir" "$port" || return 1
    start_kwok "$dir" || return 1
    nodes "$count" | admin "$dir" apply -f - >/dev/null || return 1
    await "$dir" kwok 300 admin "$dir" wait --for=condition=Ready node --all --timeout=5s
}

start() {
    local dir count=0
    mkdir -p "$1"
    dir="$(cd "$1" && pwd)"
    shift
    while (($#)); do
        case "$1 ${2:-}" in
            "--nodes "[0-9]*) count="$2"; shift 2 ;;
            *) fail "unknown option '$1'; hint: use --nodes N" ;;
        esac
    done
    [[ ! -e "$dir/etcd.pid" ]] || fail "$dir/etcd.pid exists; hint: stop the running control plane first"
    need_openssl
    build_control_plane
    ((count == 0)) || build_kwok

    umask 077
    certificates "$dir/pki" >"$dir/certificates.log" 2>&1 || { cat "$dir/certificates.log" >&2; fail "openssl could not create the certificates"; }
    # Another process may take a free port before the server binds it, so a failed start is retried with other ports.
    if ! try_start "$dir" "$count"; then
        stop "$dir"
        rm -rf "$dir/etcd"
        log "retrying the start with other ports"
        try_start "$dir" "$count" || { stop "$dir"; fail "the control plane did not start"; }
    fi
    echo "$dir/kubeconfig"
}

stop() {
    local dir name pid
    [[ -d "$1" ]] || return 0
    dir="$(cd "$1" && pwd)"
    for name in kwok kube-scheduler kube-controller-manager kube-apiserver etcd; do
        [[ -r "$dir/$name.pid" ]] || continue
        pid="$(<"$dir/$name.pid")"
        rm -f "$dir/$name.pid"
        alive "$dir" "$pid" || continue
        # The API server would wait for its watches to end, which tests do not need.
        kill "$([[ "$name" == etcd ]] && echo -TERM || echo -KILL)" "$pid" 2>/dev/null || true
        for _ in {1..50}; do
            alive "$dir" "$pid" || continue 2
            sleep 0.1
        done
        log "$name ($pid) did not exit within 5 s; killing it"
        kill -KILL "$pid" 2>/dev/null || true
    done
}

case "${1:-} $#" in
    "build 1") build ;;
    "versions 1") versions ;;
    "start "[1-9]*) shift; [[ $# -gt 0 ]] || fail "start needs a folder"; start "$@" ;;
    "stop 2") stop "$2" ;;
    "kubectl "*) shift; build_control_plane; exec "$kubernetes/kubectl" "$@" ;;
    *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
