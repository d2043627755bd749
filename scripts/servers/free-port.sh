#!/usr/bin/env bash
# Prints a loopback port that nobody listens on.
set -euo pipefail

for _ in {1..100}; do
    # Below the range from which the system draws the ports of outgoing connections.
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "$port"
        exit
    fi
done
echo "no free loopback port was found in 100 tries" >&2
exit 1
