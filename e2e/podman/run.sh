#!/usr/bin/env bash
# The image of examples/digits, on a base of Debian's packages, under podman with runc: as its own user and as root, with
# a read-only root file system, no network, no capabilities, 512 MB and one CPU; one digest under the contracts of five
# container platforms, and Lambda's image under Lambda's. Needs root.
source "$(dirname "$0")/../lib.sh"
[ "$(id -u)" = 0 ] || { echo "want root, for podman with runc and for network namespaces" >&2 && exit 1; }
command -v podman >/dev/null && command -v runc >/dev/null || deb podman runc
command -v nsenter >/dev/null && command -v ip >/dev/null || deb util-linux iproute2
godwit=${GODWIT:-$root/bin/godwit}
arch=$(dpkg --print-architecture)
base=$cache/base-$arch
[ -f "$base/index.json" ] || "$root/scripts/base.sh" "$base" "$arch" >/dev/null
function=$work/digits
cp -r "$root/examples/digits" "$function"

# One digest, one file, whatever the target.
for target in cloudrun knative sagemaker vertexai azureml; do
	"$godwit" package "$function" --target $target --arch "$arch" --base "oci:$base" -o "$work/$target.tar" --quiet >"$work/digest"
	: "${digest:=$(cat "$work/digest")}"
	[ "$(cat "$work/digest")" = "$digest" ] && cmp "$work/cloudrun.tar" "$work/$target.tar" || { echo "$target: want the image $digest, got $(cat "$work/digest")" >&2 && exit 1; }
	[ $target = cloudrun ] || rm "$work/$target.tar"
done
sed -i 's/awslambda: {}/awslambda: {package: image}/' "$function/godwit.yaml"
"$godwit" package "$function" --target awslambda --arch "$arch" --base "oci:$base" -o "$work/awslambda.tar" --quiet >/dev/null
added=0
while read -r size name; do
	[ -e "$base/$name" ] || added=$((added + size))
done < <(tar -tvf "$work/cloudrun.tar" | awk '$6 ~ /^blobs\/sha256\/./ {print $3, $6}')
echo "image $digest: $added bytes above its base"
[ $added -le 60000000 ] || { echo "want at most 60000000 bytes above the base, got $added" >&2 && exit 1; }

with_podman
locked=(--read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges --memory 512m --cpus 1
	--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
load() { "${podman[@]}" load --quiet --input "$1" | sed -n 's/^Loaded image: //p'; }
server=$(load "$work/cloudrun.tar")
lambda=$(load "$work/awslambda.tar")
if "${podman[@]}" run --rm --network none --entrypoint /bin/sh "$server" -c : 2>/dev/null; then
	echo "want no shell in the image, got one" >&2 && exit 1
fi
go build -C "$root" -o "$work/client" ./e2e/podman

for user in 65532:65532 0:0; do
	as=() && [ $user = 65532:65532 ] || as=(--user $user) # the first is the image's own
	box=$("${podman[@]}" run --detach --network none "${locked[@]}" "${as[@]}" --env GODWIT_TARGET=cloudrun --env PORT=8080 "$server")
	pid=$("${podman[@]}" inspect --format '{{.State.Pid}}' "$box")
	nsenter --target "$pid" --net "$work/client" -function "$function" -ask 127.0.0.1:8080 >"$work/answers" || { "${podman[@]}" logs "$box" >&2 && exit 1; }
	is=$(awk '/^Uid:/ {u = $2} /^Gid:/ {g = $2} /^Cap(Prm|Eff|Bnd):/ {c = c $2} /^VmHWM:/ {m = $2} END {gsub(/0/, "", c); print u ":" g " [" c "] " m}' "/proc/$pid/status")
	[ "${is% *}" = "$user []" ] || { echo "want user $user without capabilities, got ${is% *}" >&2 && exit 1; }
	reach=$(nsenter --target "$pid" --net ip -brief link | awk '{print $1}' | tr '\n' ' ')
	[ "$reach" = "lo " ] || { echo "want loopback only, got $reach" >&2 && exit 1; }
	"${podman[@]}" stop --time 10 "$box" >/dev/null
	code=$("${podman[@]}" inspect --format '{{.State.ExitCode}}' "$box")
	[ "$code" = 0 ] || { echo "want exit code 0 after SIGTERM, got $code" >&2 && exit 1; }
	echo "as $user: $(cat "$work/answers"), peak ${is##* } kB, exit code 0"
done

# The module of Azure IoT Edge, with the createOptions that godwit render writes; Docker's API has them, podman has flags.
cp -r "$root/examples/digits" "$work/module" && rm -f "$work/module/godwit.lock"
printf '%s\n' 'model: digits.onnx' 'auth: none' \
	"targets: {edge: {runtime: iotedge, architecture: $arch, cpu: 1, memory: 512MiB, healthyAfter: 100ms, env: {LEVEL: \"a 'word', \$X\"}}}" >"$work/module/godwit.yaml"
"$godwit" package "$work/module" --target edge --base "oci:$base" -o "$work/module.tar" --quiet >"$work/digest"
printf 'version: 1\npackages:\n  "edge": {digest: "%s", image: "acme.azurecr.io/digits", platforms: ["linux/%s"]}\n' "$(cat "$work/digest")" "$arch" >"$work/module/godwit.lock"
"$godwit" render "$work/module" --target edge -o "$work/deployed" --quiet >/dev/null
install -d -o 65532 -g 65532 "$work/state"
mapfile -t flags < <(python3 - "$work/deployed/deployment.json" "$work/state" <<-'EOF'
	import json, sys
	agent = json.load(open(sys.argv[1]))["modulesContent"]["$edgeAgent"]["properties.desired"]
	module = agent["modules"]["digits"]
	options = json.loads(module["settings"]["createOptions"])
	host = options.pop("HostConfig")
	known = {"User": options.pop("User"), "StopTimeout": options.pop("StopTimeout")}
	print("--user", known["User"], "--stop-timeout", known["StopTimeout"], sep="\n")
	options.pop("ExposedPorts"), host.pop("PortBindings")  # there is no network
	assert host.pop("ReadonlyRootfs") is True
	print("--read-only", "--read-only-tmpfs=false", "--memory", host.pop("Memory"), "--cpus", host.pop("NanoCpus") / 1e9, sep="\n")
	host.pop("MemorySwap")
	for at, how in host.pop("Tmpfs").items():
	    print("--tmpfs", at + (":" + how if how else ""), sep="\n")
	for flag, key in ("--cap-drop", "CapDrop"), ("--security-opt", "SecurityOpt"):
	    for value in host.pop(key):
	        print(flag, value, sep="\n")
	for bind in host.pop("Binds"):
	    print("--volume", sys.argv[2] + ":" + bind.split(":", 1)[1], sep="\n")
	for name, value in module["env"].items():
	    print("--env", name + "=" + value["value"], sep="\n")
	assert not options and not host, (options, host)
EOF
)
box=$("${podman[@]}" run --detach --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "${flags[@]}" "$(load "$work/module.tar")")
pid=$("${podman[@]}" inspect --format '{{.State.Pid}}' "$box")
nsenter --target "$pid" --net "$work/client" -function "$work/module" -ask 127.0.0.1:8080 >"$work/answers" || { "${podman[@]}" logs "$box" >&2 && exit 1; }
tr '\0' '\n' <"/proc/$pid/environ" | grep -qxF "LEVEL=a 'word', \$X"
for _ in $(seq 100); do grep -q '"healthy": "[0-9a-f]' "$work/state/versions.json" && break; sleep 0.1; done
grep -q '"healthy": "[0-9a-f]' "$work/state/versions.json" || { "${podman[@]}" logs "$box" >&2 && exit 1; }
"${podman[@]}" stop "$box" >/dev/null
echo "as a module of Azure IoT Edge: $(cat "$work/answers"), its state outlives it"

# The platforms are played from a namespace that has loopback alone, which the containers share.
# shellcheck disable=SC2016
unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
	"$work/client" -function "$function" -server "$server" -lambda "$lambda" "${podman[@]}" run --network host "${locked[@]}"
