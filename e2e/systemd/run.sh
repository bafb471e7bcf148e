#!/usr/bin/env bash
# Runs the unit of docs/edge.md under a real systemd, in namespaces with no network but loopback: Type=notify, the
# watchdog, restarts, the revert of a version, answers that wait for a network, a full disk. Then what godwit renders:
# the units by systemd's own checker, and godwit deploy with the real systemctl.
source "$(dirname "$0")/../lib.sh"
[ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ] || { echo "want root on Linux" >&2 && exit 1; }
[ -x /lib/systemd/systemd ] || deb systemd
command -v nsenter >/dev/null || deb util-linux
command -v ip >/dev/null || deb iproute2

# The function, as docs/edge.md lays it out, and its unit.
unit=godwit-digits.service
mkdir -p "$work/opt/godwit/bin/lib" "$work/units/$unit.d"
chmod 755 "$work" # for the unit's user
cp "${FN_SERVER:-$root/bin/fn-server}" "$work/opt/godwit/bin/"
cp "$("$root/scripts/onnxruntime.sh")" "$work/opt/godwit/bin/lib/"
cp -r "$root/examples/digits" "$work/opt/godwit/digits"
awk '/^```ini/ {on = 1; next} /^```/ {on = 0} on' "$root/docs/edge.md" >"$work/units/$unit"
cat >"$work/units/$unit.d/quick.conf" <<-EOF
	[Service]
	WatchdogSec=2
	RestartSec=100ms
	Environment=GODWIT_FORWARD_URL=http://127.0.0.1:9000/
	StandardError=append:/run/digits.log
EOF
printf '[Unit]\nDefaultDependencies=no\nWants=%s\n' "$unit" >"$work/units/e2e.target"
for target in sysinit basic shutdown; do printf '[Unit]\nDefaultDependencies=no\n' >"$work/units/$target.target"; done
install_version() { # VERSION HEALTHY_AFTER
	cat >"$work/opt/godwit/digits/godwit.yaml" <<-EOF
		models: [{path: digits.onnx, version: "$1"}]
		triggers: [queue]
		batch: {input: images/, output: scores/}
		targets: {edge: {listen: '127.0.0.1:8081', healthyAfter: $2, forward: {url: 'https://in.example.com/', maxAge: 1d}}}
	EOF
}
install_version 1 1s

for at in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do # its own corner of the control groups
	[ -f "$at/cgroup.procs" ] && mkdir -p "$at/godwit-e2e.$$" && groups+=("$at/godwit-e2e.$$")
done
for group in "${groups[@]}"; do echo "echo \$BASHPID >$group/cgroup.procs"; done >"$work/join"
bash -c 'source "$1/join"; exec unshare --mount --pid --fork --kill-child --ipc --uts --net --cgroup "$2" "$1"' - "$work" "$here/systemd/boot.sh" >"$work/boot.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do one=$(pgrep -P "${pids[0]}" || :) && [ -n "$one" ] && break; sleep 0.1; done
down() {
	kill -9 "$one" || :
	finish
	for group in "${groups[@]}"; do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || :; done
}
trap down EXIT

inside() { nsenter -t "$one" -a -- "$@"; }
show() { inside systemctl show "$unit" -p "$1" --value; }
version() { inside curl -sf http://127.0.0.1:8081/v2/models/digits | grep -o '"versions":\["[^"]*"' | cut -d'"' -f4; }
until_is() { # WHAT WANT COMMAND...: for 20 s
	local what=$1 want=$2 got=
	shift 2
	for _ in $(seq 200); do
		got=$("$@" 2>/dev/null || :)
		case $got in $want) echo "$what: $got" && return ;; esac
		sleep 0.1
	done
	inside tail -n 20 /run/digits.log >&2 || cat "$work/boot.log" "$work/console" >&2
	echo "$what: want $want, got $got" >&2
	exit 1
}
event() { # ID: the status
	printf '{"specversion":"1.0","id":"%s","source":"/camera/1","type":"image","data":%s}' "$1" "$(cat "$root/examples/digits/requests/digits/1.json")" |
		inside curl -s -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/cloudevents+json' --data-binary @- http://127.0.0.1:8081/events
}
healthy() { inside grep -o '"healthy": "[0-9a-f]*"' /var/lib/godwit/digits/versions.json | cut -d'"' -f4; }

until_is "started" active show ActiveState
until_is "status" "serves digits; answers: 0 wait" show StatusText
until_is "version" 1 version
until_is "kept as healthy" '?*' healthy

inside kill -9 "$(show MainPID)"
until_is "restarts after a kill" 1 show NRestarts
until_is "version" 1 version
inside kill -STOP "$(show MainPID)" # it gives no sign of life
until_is "restarts by the watchdog" 2 show NRestarts
until_is "version" 1 version

until_is "an event while there is no network" 202 event 1
until_is "status" "serves digits; answers: 1 wait" show StatusText
inside dd if=/dev/zero of=/var/lib/fill bs=64k 2>/dev/null || : # until the disk is full
until_is "an event while the disk is full" 503 event 2
inside rm /var/lib/fill
until_is "the same when there is room" 202 event 2
cat >"$work/receiver.py" <<-'EOF'
	import http.server
	class Receiver(http.server.BaseHTTPRequestHandler):
	    def do_POST(self):
	        self.rfile.read(int(self.headers["Content-Length"]))
	        open("/run/received", "a").write(self.headers["Ce-Type"] + "\n")
	        self.send_response(202)
	        self.end_headers()
	http.server.HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
EOF
inside python3 "$work/receiver.py" 2>/dev/null &
pids+=($!)
until_is "answers that came when there was one" 2 inside grep -c dev.godwit.answer /run/received
until_is "status" "serves digits; answers: 0 wait" show StatusText

install_version 2 1h
inside systemctl restart "$unit"
until_is "the next version" 2 version
for n in 1 2 3; do
	inside kill -9 "$(show MainPID)"
	until_is "restarts after it crashed" "$n" show NRestarts
	until_is "started" active show ActiveState
done
until_is "version after three crashes" 1 version
until_is "status" "serves digits, an older version, as the installed one does not work;*" show StatusText
install_version 3 0s
inside systemctl restart "$unit"
until_is "a version that works" 3 version
inside systemctl stop "$unit"
until_is "stopped" "inactive" show ActiveState
until_is "result" "success" show Result

# Every unit that is rendered, by systemd's own checker, which wants the programs and the targets to be there.
golden=$root/infra/edge/testdata/golden checked=$work/checked
mkdir -p "$checked/etc/systemd/system"
for target in sysinit basic shutdown multi-user; do printf '[Unit]\n' >"$checked/etc/systemd/system/$target.target"; done
for file in "$golden"/*/*.service; do
	name=$(basename "$file" .service)
	mkdir -p "$checked/opt/godwit/${name#godwit-}"
	cp /bin/true "$checked/opt/godwit/${name#godwit-}/fn-server"
	cp "$file" "$checked/etc/systemd/system/"
	said=$(systemd-analyze verify --root="$checked" --man=no "$name.service" 2>&1) && [ -z "$said" ] || { echo "${file#"$golden/"}: $said" >&2 && exit 1; }
done
echo "checked by systemd-analyze: $(find "$golden" -name '*.service' | wc -l) units"
systemd-analyze security --offline=true --root="$checked" --no-pager --threshold=25 godwit-digits.service | tail -1

# godwit deploy on the device: a package, a unit, a service that answers, with variables and secrets as systemd reads them.
unit=godwit-second.service
cp -r "$root/examples/digits" "$work/second" && rm -f "$work/second/godwit.lock"
level='a "word", 100% of $(NAME), $X: %n \ # '"'"'; é'
deploy() { # VERSION HEALTHY_AFTER
	cat >"$work/second/godwit.yaml" <<-EOF
		name: second
		isolate: on
		models: [{path: digits.onnx, version: "$1"}]
		targets: {edge: {architecture: $(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/'), listen: '127.0.0.1:8082', healthyAfter: $2, memory: 1GiB, cpu: 0.5, env: {LEVEL: '${level//\'/\'\'}'}, secrets: {TOKEN: second.env}}}
	EOF
	inside "${GODWIT:-$root/bin/godwit}" deploy "$work/second" --target edge --yes -o "$work/rendered"
}
inside mkdir /etc/godwit
printf 'TOKEN=hush\n' | inside sh -c 'umask 077 && cat >/etc/godwit/second.env'
second() { inside sh -c "curl -s http://127.0.0.1:8082/v2/models/digits | grep -o '\"versions\":\[\"[^\"]*\"' | cut -d'\"' -f4"; }
deploy 1 0s
until_is "deployed" active show ActiveState
until_is "answers" 200 inside curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8082/v2/models/digits/infer -d "@$root/examples/digits/requests/digits/1.json"
until_is "CPU and memory" "500ms 1073741824" inside sh -c "systemctl show $unit -p MemoryMax -p CPUQuotaPerSecUSec --value | xargs"
has() { inside sh -c 'tr "\0" "\n" <"/proc/$1/environ" | grep -cFx -- "$2"' - "$(show MainPID)" "$1"; }
until_is "a variable" 1 has "LEVEL=$level"
until_is "a secret" 1 has "TOKEN=hush"
until_is "starts with the device" enabled inside systemctl is-enabled "$unit"
first=$(inside readlink /opt/godwit/second)
deploy 2 1h
until_is "deployed again" 2 second
[ "$(inside readlink /opt/godwit/second)" != "$first" ] && inside test -x "$first/fn-server"
for n in 1 2 3; do
	inside kill -9 "$(show MainPID)"
	until_is "restarts after it crashed" "$n" show NRestarts
	until_is "started" active show ActiveState
done
until_is "a package that crashes gives way" 1 second
until_is "status" "serves second, an older version, as the installed one does not work" show StatusText
inside ln -sfnT "$first" /opt/godwit/second && inside systemctl restart "$unit" # as README.md says
until_is "and back" "serves second" show StatusText
until_is "version" 1 second
inside systemctl disable --now "$unit"
until_is "stopped" "inactive" show ActiveState
