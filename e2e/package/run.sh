#!/usr/bin/env bash
# What `godwit package` makes of both examples for every target: the same bytes in another folder, by another user, on one
# processor, under another umask, time zone and home; no larger than it may be; nothing that doctor warns of; the recorded
# answers by verify. The zips, one with a handler too, under AWS's own Runtime Interface Emulator where Lambda's sandbox is
# played: an older glibc, read-only, no network, no privileges, 128 MB. Needs root.
source "$(dirname "$0")/../lib.sh"
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || { echo "want root on Linux" >&2 && exit 1; }
command -v ip >/dev/null && command -v unzip >/dev/null || deb iproute2 unzip
godwit=$(realpath "${GODWIT:-$root/bin/godwit}")
arch=$(dpkg --print-architecture)
"$root/scripts/functions.sh" --out "$(dirname "$godwit")" "$arch" >/dev/null
base=$cache/base-$arch
[ -f "$base/index.json" ] || "$root/scripts/base.sh" "$base" "$arch" >/dev/null
rie=$(runtime_interface_emulator)
old=$(old_root bullseye) # AL2023 has glibc 2.34; this is the nearest below that Debian has
go build -C "$root" -o "$work/client" ./e2e/package

targets=(awslambda:zip cloudrun:image.tar azurefunctions:azure.zip edge:tar.gz) # and what their packages are called
# packages FOLDER COMMAND...: makes all in FOLDER, of what lies there, by the command given.
packages() {
	local at=$1 example target
	shift
	for example in digits penguins; do
		for target in "${targets[@]}"; do
			local line=(bin/godwit package "$example" --target "${target%%:*}" --arch "$arch" -o "$example.${target#*:}" --quiet)
			[ "${target%%:*}" != cloudrun ] || line+=(--base "oci:$at/base")
			(cd "$at" && "$@" "${line[@]}") >"$at/$example.${target#*:}.digest" || return 1
		done
	done
}
chmod 755 "$work"
one=$work/one other="$work/another folder, of somebody else"
for at in "$one" "$other"; do
	mkdir -p "$at/bin" "$at/home"
	cp -r "$root/examples/digits" "$root/examples/penguins" "$at/" && cp -r "$base" "$at/base"
	cp -r "$godwit" "$(dirname "$godwit")/linux-$arch" "$at/bin/"
done
find "$other" -exec touch -h -d 2001-02-03T04:05:06Z {} +
chown -R nobody:nogroup "$other" && chmod -R u=rwX,go= "$other"
(umask 077 && packages "$other" setpriv --reuid=65534 --regid=65534 --clear-groups env -i HOME=/nowhere TZ=Asia/Tokyo LC_ALL=tr_TR.UTF-8 GOMAXPROCS=1 PATH=/bin) &
made=$!
(umask 022 && packages "$one" env -i HOME="$one/home" TZ=UTC PATH=/usr/bin:/bin)
wait "$made"

# at_most BYTES WHAT SIZE
at_most() { echo "$2: $3 bytes" && [ "$3" -le "$1" ] || { echo "$2: want at most $1 bytes" >&2 && exit 1; }; }
for example in digits penguins; do
	for target in "${targets[@]}"; do
		name=$example.${target#*:} package=$one/$example.${target#*:} target=${target%%:*}
		cmp "$package" "$other/$name" && cmp "$package.digest" "$other/$name.digest"
		case $target in
		cloudrun)
			added=0
			while read -r size blob; do
				[ -e "$base/$blob" ] || added=$((added + size))
			done < <(tar -tvf "$package" | awk '$6 ~ /^blobs\/sha256\/./ {print $3, $6}')
			at_most 60000000 "$name, above its base" $added
			;;
		awslambda) at_most 24000000 "$name" "$(stat -c %s "$package")" ;;
		*) echo "$name: $(stat -c %s "$package") bytes" ;;
		esac
		"$godwit" doctor "$package" --target "$target" >"$work/doctor" && grep -q '^ *0 errors, 0 warnings,' "$work/doctor" || { cat "$work/doctor" >&2 && exit 1; }
		"$godwit" verify "$package" >"$work/verify" || { cat "$work/verify" >&2 && exit 1; }
		tail -n 1 "$work/verify"
	done
done

# A function with a handler, which takes other requests than its model does.
cp -r "$root/examples/digits" "$work/handled" && cp -r "$here/package/handler" "$work/handled/"
echo 'handler: ./handler' >>"$work/handled/godwit.yaml"
sed -i 's/"name": "pixels", "shape": \[\([0-9]*\), 64\], "datatype": "FP32"/"name": "image", "shape": [\1, 8, 8], "datatype": "UINT8"/' "$work"/handled/requests/digits/?.json
GODWIT_SOURCE=$root "$godwit" package "$work/handled" --target awslambda --arch "$arch" -o "$one/handled.zip" --quiet >/dev/null
"$godwit" verify "$one/handled.zip" >"$work/verify" || { cat "$work/verify" >&2 && exit 1; }
echo "with a handler, $(tail -n 1 "$work/verify")"

group=$(memory_group $((128 << 20)))
trap 'finish; rmdir "$group"' EXIT
for name in digits penguins handled; do
	function=$root/examples/$name && [ $name != handled ] || function=$work/handled
	unzip -q "$one/$name.zip" -d "$work/$name.zip"
	unshare --mount --net --pid --fork --kill-child "$here/package/sandbox.sh" "$old" "$work/$name.zip" "$rie" "$group" "$work/client" "$function" "$work"
done
