# shellcheck shell=bash
# Real servers on loopback, each a process of its own that ends with the script. Sourced after ../lib.sh. Each function
# sets a variable with the address, HOST:PORT, and prints what was started.
servers=$here/servers

# free_ports N: as many ports that nobody has, one a line.
free_ports() {
	python3 -c 'import socket, sys
all = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in all: s.bind(("127.0.0.1", 0))
for s in all: print(s.getsockname()[1])' "$1"
}

# reachable PID ADDRESS LOG: waits until the process listens.
reachable() {
	for _ in $(seq 600); do
		(exec 3<>"/dev/tcp/${2%:*}/${2##*:}") 2>/dev/null && return 0
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	tail "$3" >&2
	echo "nobody listens at $2" >&2
	return 1
}

# built: $bin, with the servers that are Go modules. The first time takes minutes.
built() {
	bin=$cache/servers-$(cat "$servers"/go.* "$servers"/*/*.go | sha256sum | cut -c1-16)
	[ -d "$bin" ] || (cd "$servers" && nice go build -o "$work/servers/" tool ./pubsub ./kafka && mv "$work/servers" "$bin")
}
version_of() { (cd "$servers" && go list -m -f '{{.Path}} {{.Version}}' "$1"); }

# start_moto: $moto, with S3, SQS and DynamoDB. Signatures are not checked.
start_moto() {
	local python
	python=$(venv moto "$here/fetch/requirements.txt")
	moto=127.0.0.1:$(free_ports 1)
	"$python" "$servers/motoserver.py" "${moto##*:}" >"$work/moto.log" 2>&1 &
	pids+=($!)
	reachable $! "$moto" "$work/moto.log"
	echo "moto $("$python" -c 'import moto; print(moto.__version__)') at $moto"
}

# start_versitygw: $versitygw, over a folder; it wants requests signed with $AWS_ACCESS_KEY_ID for $AWS_REGION.
start_versitygw() {
	built
	versitygw=127.0.0.1:$(free_ports 1)
	mkdir -p "$work/versitygw"
	ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY "$bin/versitygw" --port "$versitygw" --region "$AWS_REGION" --quiet posix "$work/versitygw" >"$work/versitygw.log" 2>&1 &
	pids+=($!)
	reachable $! "$versitygw" "$work/versitygw.log"
	echo "$(version_of github.com/versity/versitygw) at $versitygw"
}

# start_gcs: $gcs, fake-gcs-server, in memory; its buckets' notifications go to the Pub/Sub that was started before.
start_gcs() {
	built
	gcs=127.0.0.1:$(free_ports 1)
	PUBSUB_EMULATOR_HOST=${pubsub_grpc:-} "$bin/fake-gcs-server" -scheme http -host 127.0.0.1 -port "${gcs##*:}" -public-host "$gcs" -backend memory -log-level error >"$work/gcs.log" 2>&1 &
	pids+=($!)
	reachable $! "$gcs" "$work/gcs.log"
	echo "$(version_of github.com/fsouza/fake-gcs-server) at $gcs"
}

# start_azurite: $azure_blob and $azure_queue.
start_azurite() {
	local ports
	npm_install azurite@3.35.0
	mapfile -t ports < <(free_ports 3)
	azure_blob=127.0.0.1:${ports[0]} azure_queue=127.0.0.1:${ports[1]}
	node "$cache/npm/node_modules/azurite/dist/src/azurite.js" --silent --disableTelemetry --skipApiVersionCheck --inMemoryPersistence \
		--blobHost 127.0.0.1 --blobPort "${ports[0]}" --queueHost 127.0.0.1 --queuePort "${ports[1]}" --tableHost 127.0.0.1 --tablePort "${ports[2]}" >"$work/azurite.log" 2>&1 &
	pids+=($!)
	reachable $! "$azure_blob" "$work/azurite.log"
	reachable $! "$azure_queue" "$work/azurite.log"
	echo "azurite 3.35.0, blobs at $azure_blob, queues at $azure_queue"
}

# Azurite's account, with the key that Microsoft has published.
azure_account=devstoreaccount1
azure_key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

# azure_container NAME: makes a container in Azurite.
azure_container() {
	local query
	query=$(python3 -c 'import base64, datetime, hashlib, hmac, sys, urllib.parse
account, key = sys.argv[1:]
q = dict(sv="2021-12-02", ss="b", srt="c", sp="c", se=(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"), spr="https,http")
text = "\n".join([account, q["sp"], q["ss"], q["srt"], "", q["se"], "", q["spr"], q["sv"], "", ""])
q["sig"] = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
print(urllib.parse.urlencode(q))' "$azure_account" "$azure_key")
	curl -sSf -o /dev/null -X PUT -H 'x-ms-version: 2021-12-02' -H 'Content-Length: 0' "http://$azure_blob/$azure_account/$1?restype=container&$query"
}

# start_pubsub [FLAG...]: $pubsub, Google's pstest behind REST, with push subscriptions; $pubsub_grpc is the same for gRPC.
start_pubsub() {
	built
	"$bin/pubsub" "$@" >"$work/pubsub.address" 2>"$work/pubsub.log" &
	pids+=($!)
	for _ in $(seq 100); do [ -s "$work/pubsub.address" ] && break || sleep 0.1; done
	read -r pubsub pubsub_grpc <"$work/pubsub.address"
	echo "pstest of $(version_of cloud.google.com/go/pubsub/v2) at $pubsub"
}

# start_kafka: $kafka and $kafka_pid, one broker that is its own controller. Its data stay when it is killed and started again.
start_kafka() {
	local jars=$cache/kafka-3.9.1 ports
	if [ ! -f "$jars/.ready" ]; then
		command -v mvn >/dev/null || deb maven
		mvn -q -B -Dstyle.color=never -f "$servers/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" >&2
		touch "$jars/.ready"
	fi
	command -v java >/dev/null || deb default-jre-headless
	if [ ! -f "$work/kafka.properties" ]; then
		mapfile -t ports < <(free_ports 2)
		kafka=127.0.0.1:${ports[0]}
		cat >"$work/kafka.properties" <<-EOF
			process.roles=broker,controller
			node.id=1
			controller.quorum.voters=1@127.0.0.1:${ports[1]}
			listeners=PLAINTEXT://$kafka,CONTROLLER://127.0.0.1:${ports[1]}
			advertised.listeners=PLAINTEXT://$kafka
			controller.listener.names=CONTROLLER
			listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
			log.dirs=$work/kafka.data
			offsets.topic.replication.factor=1
			transaction.state.log.replication.factor=1
			transaction.state.log.min.isr=1
			group.initial.rebalance.delay.ms=0
			log.cleaner.backoff.ms=200
		EOF
		java -cp "$jars/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$work/kafka.properties" >>"$work/kafka.log" 2>&1
	fi
	java -Xms128m -Xmx384m -cp "$jars/*" kafka.Kafka "$work/kafka.properties" >>"$work/kafka.log" 2>&1 &
	kafka_pid=$!
	pids+=("$kafka_pid")
	reachable "$kafka_pid" "$kafka" "$work/kafka.log"
	echo "Apache Kafka 3.9.1 ($(java -version 2>&1 | head -1)) at $kafka"
}
