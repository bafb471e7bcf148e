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

# The platforms are played from a namespace that has loopback alone, which the containers share.
# shellcheck disable=SC2016
unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
	"$work/client" -function "$function" -server "$server" -lambda "$lambda" "${podman[@]}" run --network host "${locked[@]}"
