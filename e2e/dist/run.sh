#!/usr/bin/env bash
# The archives of `make dist`, made twice from clones of what is committed, in different folders and time zones and by
# users with different umasks, are the same bytes. Who unpacks one needs neither Go nor a C compiler: godwit finds
# everything beside itself, serves and verifies examples/digits, and packages it for both architectures.
source "$(dirname "$0")/../lib.sh"
[ "$(uname -sm)" = 'Linux x86_64' ] || { echo "want Linux x86_64" >&2 && exit 1; }
git clone -q --shared "$root" "$work/one"
git clone -q --shared "$root" "$work/another folder"
(umask 022 && TZ=UTC "$work/one/scripts/dist.sh" --out "$work/first")
(umask 077 && TZ=Asia/Tokyo "$work/another folder/scripts/dist.sh" --out "$work/second place" >/dev/null)
cmp "$work/first/SHA256SUMS" "$work/second place/SHA256SUMS"
(cd "$work/second place" && sha256sum --quiet -c ../first/SHA256SUMS)

mkdir -p "$work/user/home"
tar -xzf "$work"/first/godwit-*-linux-amd64.tar.gz -C "$work/user"
cd "$work"/user/godwit-*
sha256sum --quiet -c SHA256SUMS
cp -r "$root/examples/digits" "$work/user/digits"
as_user() { env -i HOME="$work/user/home" PATH=/usr/bin:/bin "$@"; }
if as_user sh -c 'command -v go'; then echo "want no Go on the user's path" >&2 && exit 1; fi
as_user ./godwit --version
as_user ./godwit verify "$work/user/digits"
export GODWIT=$PWD/godwit
serve "$work/user/digits" env -i HOME="$work/user/home" PATH=/usr/bin:/bin
as_user ./godwit predict "http://$address" "$work/user/digits/requests/digits/1.json"
grep -q "$PWD/linux-amd64/lib/libstdc++.so.6" "/proc/$server/maps" || { echo "want the archive's own C++ library" >&2 && exit 1; }
for arch in amd64 arm64; do
	sed -i "s/awslambda: {[^}]*}/awslambda: {architecture: $arch}/" "$work/user/digits/godwit.yaml"
	as_user ./godwit package "$work/user/digits" --target awslambda --arch $arch -o "$work/user/$arch.zip" --quiet
	ls -l "$work/user/$arch.zip"
done
[ -z "$(ls -A "$work/user/home")" ] || { echo "want nothing written into the user's home, got $(ls -A "$work/user/home")" >&2 && exit 1; }
