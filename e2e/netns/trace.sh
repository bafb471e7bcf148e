#!/usr/bin/env bash
# Prints the calls of an strace log that reach beyond loopback, ask for a name, or make a file; fails if there are any.
# Unix sockets (the name service's cache among them) and netlink stay on the machine.
set -euo pipefail
[ -s "$1" ] || { echo "the trace $1 is empty" >&2 && exit 1; }
found=$(
	grep -E '(connect|sendto|sendmsg|sendmmsg)\(' "$1" | grep -E 'sa_family=AF_INET' |
		grep -Ev 'sin_addr=inet_addr\("127\.|inet_pton\(AF_INET6, "(::1|::ffff:127\.)' || :
	grep -E '(connect|sendto|sendmsg|sendmmsg)\(' "$1" | grep -E 'htons\(53\)' || :
	grep -E 'socket\((AF_PACKET|PF_PACKET)' "$1" || :
	grep -E 'O_CREAT|(creat|mkdir|mkdirat)\(' "$1" | grep -v ' = -1 ' || :
)
[ -z "$found" ] || { sort -u <<<"$found" && exit 1; }
