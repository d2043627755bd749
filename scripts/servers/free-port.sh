#!/usr/bin/env bash
# Prints an unused loopback port.
set -euo pipefail

for _ in {1..100}; do
    # Below the ephemeral port range, which the system uses for outgoing connections.
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "$port"
        exit
    fi
done
echo "no free loopback port was found in 100 attempts" >&2
exit 1
