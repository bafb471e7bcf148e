#!/usr/bin/env bash
# Signatures of OpenSSF Model Signing v1 both ways: what PyPI's model-signing signs godwit checks, what godwit signs it
# checks, and both refuse the same changes. With --record its bundles become internal/oms/testdata/theirs.
. "$(dirname "$0")/../lib.sh"
python=$(venv signing "$here/signing/requirements.txt")
theirs=$(dirname "$python")/model_signing
godwit=${GODWIT:-$root/bin/godwit}
cd "$work"

fails=0
# want YES|NO WHAT COMMAND...: its exit status is 0, or is not.
want() {
	local yes=$1 what=$2 got=NO
	shift 2
	if "$@" >log 2>&1; then got=YES; fi
	if [ "$got" = "$yes" ]; then echo "  ok: $what"; else
		echo "  want $yes, got $got: $what" && sed 's/^/    /' log
		fails=$((fails + 1))
	fi
}

for curve in prime256v1 secp384r1 secp521r1; do
	openssl ecparam -name $curve -genkey -noout -out $curve.key
	openssl ec -in $curve.key -pubout -out $curve.pub 2>/dev/null
done
key=prime256v1.key pub=prime256v1.pub
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 36500 -subj /CN=ca 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj /CN=signer 2>/dev/null
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 36000 -out leaf.pem -extfile <(echo keyUsage=critical,digitalSignature) 2>/dev/null
rm ca.key

mkdir -p model/sub model/.git
printf 'weights' >model/fraud.bin
printf 'model' >model/fraud.onnx
printf 'a' >model/sub/a
printf 'not part of it' >model/.git/config
printf 'Zürich' >"model/sub.Ä b"
: >model/empty

echo "what model-signing $("$theirs" --version 2>/dev/null | grep -o '[0-9.]*$' || :) signs, godwit checks"
mkdir theirs
for curve in prime256v1 secp384r1 secp521r1; do
	"$theirs" sign key --private_key $curve.key --signature theirs/$curve.sig model >/dev/null
	want YES "$curve" "$godwit" sign model --trust $curve.pub --signature theirs/$curve.sig
done
"$theirs" sign key --private_key $key --signature theirs/single.sig model/fraud.onnx >/dev/null
want YES "a single file" "$godwit" sign model/fraud.onnx --trust $pub --signature theirs/single.sig
"$theirs" sign certificate --private_key leaf.key --signing_certificate leaf.pem --certificate_chain ca.pem --signature theirs/certificate.sig model >/dev/null
want YES "by a certificate" "$godwit" sign model --trust ca.pem --signature theirs/certificate.sig
"$python" - "$key" <<'PY'
import sys, model_signing as m
for name, hashing in (("shards", m.hashing.Config().use_shard_serialization(shard_size=3)), ("blake3", m.hashing.Config().use_file_serialization(hashing_algorithm="blake3"))):
    m.signing.Config().use_elliptic_key_signer(private_key=sys.argv[1]).set_hashing_config(hashing).sign("model", f"theirs/{name}.sig")
PY
want YES "in shards" "$godwit" sign model --trust $pub --signature theirs/shards.sig
want NO "BLAKE3, which godwit does not have" "$godwit" sign model --trust $pub --signature theirs/blake3.sig
if [ "${1:-}" = --record ]; then
	data=$root/internal/oms/testdata/theirs
	rm -rf "$data" && mkdir -p "$data"
	cp theirs/*.sig ./*.pub ca.pem "$data"
	cp -r model "$data/model" && mv "$data/model/.git" "$data/model/git" # git would not take it
fi

echo "what godwit signs, model-signing checks"
for curve in prime256v1 secp384r1 secp521r1; do
	"$godwit" sign model --key $curve.key --quiet
	want YES "$curve" "$theirs" verify key --public_key $curve.pub --signature model.sig model
done
"$godwit" sign model --key $key --signature model/model.sig --quiet
want YES "with the signature in the model" "$theirs" verify key --public_key $pub --signature model/model.sig model
want YES "and by godwit" "$godwit" sign model --trust $pub --signature model/model.sig
rm model/model.sig
"$godwit" sign model --key $key --ignore sub --quiet
want YES "with a folder left out" "$theirs" verify key --public_key $pub --signature model.sig model
openssl pkcs8 -topk8 -nocrypt -in $key -out pkcs8.key
"$godwit" sign model --key pkcs8.key --quiet
want YES "with a key in PKCS #8" "$theirs" verify key --public_key $pub --signature model.sig model
"$godwit" package "$root/examples/digits" --target awslambda -o digits.zip --quiet --no-doctor >/dev/null
"$godwit" sign digits.zip --key $key --quiet
want YES "a package" "$theirs" verify key --public_key $pub --signature digits.zip.sig digits.zip
want YES "and by godwit" "$godwit" sign digits.zip --trust $pub

echo "both refuse the same"
"$theirs" sign key --private_key $key --signature a.sig model >/dev/null
"$godwit" sign model --key $key --signature b.sig --quiet
# refused WHAT [COMMAND...]: the changed copy of the model is refused by both, whoever signed it.
refused() {
	local what=$1 sig
	shift
	rm -rf changed && cp -r model changed
	(cd changed && "$@")
	for sig in a b; do
		want NO "$what, $sig, model-signing" "$theirs" verify key --public_key $pub --signature $sig.sig changed
		want NO "$what, $sig, godwit" "$godwit" sign changed --trust $pub --signature $sig.sig --quiet
	done
}
refused "external data changed, the model not" sh -c 'printf Weights >fraud.bin'
refused "a file longer" sh -c 'printf x >>fraud.onnx'
refused "a file gone" rm sub/a
refused "a file more" touch sub/b
refused "a file renamed" mv sub/a sub/b
refused "a link for a file" sh -c 'mv fraud.bin .git/ && ln -s .git/fraud.bin fraud.bin'
for sig in a b; do
	want NO "another key, $sig, model-signing" "$theirs" verify key --public_key secp384r1.pub --signature $sig.sig model
	want NO "another key, $sig, godwit" "$godwit" sign model --trust secp384r1.pub --signature $sig.sig
	sed 's/"payload": *"\(.\{200\}\)./"payload":"\1Q/' $sig.sig >bad.sig
	want NO "another payload, $sig, model-signing" "$theirs" verify key --public_key $pub --signature bad.sig model
	want NO "another payload, $sig, godwit" "$godwit" sign model --trust $pub --signature bad.sig
done
want NO "a certificate of others, godwit" "$godwit" sign model --trust leaf.pem --signature a.sig
[ $fails = 0 ] || { echo "$fails wrong" >&2 && exit 1; }
