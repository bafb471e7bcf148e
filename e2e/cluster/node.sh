# shellcheck shell=bash
# A cluster of one node: Kubernetes, containerd and runc, CoreDNS, Knative Serving and Eventing, and Traefik as Knative's
# ingress. It has network, mount and process namespaces of its own, so that it takes no port or address of the machine,
# and all of it ends with the first process in them. Sourced after lib.sh.

serving_programs=(serving-controller serving-webhook serving-autoscaler serving-activator serving-queue)
eventing_programs=(eventing-controller eventing-webhook eventing-mtchannel_broker eventing-broker-filter eventing-broker-ingress
	eventing-jobsink imc-channel_controller imc-channel_dispatcher)
node_ip=10.244.0.1 dns_ip=10.96.0.10

# build_cluster: all of its programs, and what of Debian's it takes; needs root.
build_cluster() {
	command -v containerd >/dev/null && command -v runc >/dev/null && command -v nft >/dev/null && [ -x /usr/lib/cni/bridge ] ||
		deb containerd runc containernetworking-plugins nftables
	build etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl "${serving_programs[@]}" "${eventing_programs[@]}"
	separate coredns "$cluster/coredns" .
	separate traefik "" github.com/traefik/traefik/v3/cmd/traefik
	[ -x "$programs/pause" ] || cc -Os -static -DVERSION=e2e -o "$programs/pause" "$(source_of k8s.io/kubernetes)/build/pause/linux/pause.c"
}

# start NAME COMMAND...: a daemon, with its log in $work/NAME.log.
start() {
	local name=$1
	shift
	"$@" >"$work/$name.log" 2>&1 </dev/null &
	eval "${name//-/_}_pid=\$!"
}

# start_cluster: in namespaces of its own; sets $kubectl.
start_cluster() {
	start_control_plane
	start_node
	start_knative
}

start_control_plane() {
	local name user groups token
	ip link set lo up
	# The node's address is that of the bridge which its pods are on.
	ip link add cni0 type bridge && ip addr add $node_ip/24 dev cni0 && ip link set cni0 up
	ip route add 10.96.0.0/16 dev cni0 # Services: kube-proxy only sees what has a way to go
	sysctl -qw net.ipv4.ip_forward=1
	openssl genpkey -quiet -algorithm RSA -out "$work/accounts.key"
	openssl pkey -in "$work/accounts.key" -pubout -out "$work/accounts.pub"
	mkdir -m 700 "$work/etcd"
	while read -r name user groups; do
		token=$(openssl rand -hex 16)
		echo "$token,$user,$user$groups" >>"$work/tokens.csv"
		cat >"$work/$name.kubeconfig" <<-EOF
			apiVersion: v1
			kind: Config
			clusters: [{name: e2e, cluster: {server: "https://$node_ip:6443", certificate-authority: "$work/certificates/apiserver.crt"}}]
			users: [{name: e2e, user: {token: $token}}]
			contexts: [{name: e2e, context: {cluster: e2e, user: e2e}}]
			current-context: e2e
		EOF
	done <<-EOF
		admin admin ,system:masters
		kubelet system:node:node1 ,system:nodes
		kube-proxy system:kube-proxy
		kube-scheduler system:kube-scheduler
		kube-controller-manager system:kube-controller-manager
	EOF
	kubectl=("$programs/kubectl" --kubeconfig "$work/admin.kubeconfig" --cache-dir "$work/discovery")
	start etcd "$programs/etcd" --data-dir "$work/etcd" --unsafe-no-fsync
	start kube-apiserver "$programs/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --bind-address $node_ip --advertise-address $node_ip \
		--cert-dir "$work/certificates" --token-auth-file "$work/tokens.csv" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
		--service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/accounts.pub" --service-account-signing-key-file "$work/accounts.key" \
		--service-cluster-ip-range 10.96.0.0/16 --kubelet-preferred-address-types InternalIP
	until_ok 120 "${kubectl[@]}" get --raw /readyz
	start kube-controller-manager "$programs/kube-controller-manager" --kubeconfig "$work/kube-controller-manager.kubeconfig" --leader-elect=false \
		--service-account-private-key-file "$work/accounts.key" --root-ca-file "$work/certificates/apiserver.crt" --use-service-account-credentials
	start kube-scheduler "$programs/kube-scheduler" --kubeconfig "$work/kube-scheduler.kubeconfig" --leader-elect=false
}

# start_node: containerd with the images, the kubelet and the proxy. The limits of what runs here are not the cluster's: a
# control group that may be of either version, and no right to be spared when memory is short.
start_node() {
	local v1=false
	mkdir -p "$work"/{cni,kubelet,containerd}
	[ -f /sys/fs/cgroup/cgroup.controllers ] || v1=true
	echo "nameserver $node_ip" >"$work/resolv.conf"
	cat >"$work/containerd.toml" <<-EOF
		version = 2
		root = "$work/containerd/root"
		state = "$work/containerd/state"
		disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
		[grpc]
		  address = "$work/containerd/socket"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "dev.local/pause:e2e"
		  disable_apparmor = true
		  restrict_oom_score_adj = true
		  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		    runtime_type = "io.containerd.runc.v2"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		      BinaryName = "runc"
		      SystemdCgroup = false
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$work/cni"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$work/containerd/opt"
	EOF
	cat >"$work/cni/bridge.conflist" <<-EOF
		{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
		  {"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
		   "ipam": {"type": "host-local", "dataDir": "$work/cni-addresses", "ranges": [[{"subnet": "10.244.0.0/24", "gateway": "$node_ip"}]]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	EOF
	start containerd containerd -c "$work/containerd.toml"
	ctr=(ctr -a "$work/containerd/socket" -n k8s.io)
	until_ok 30 "${ctr[@]}" version
	"${ctr[@]}" images import --snapshotter overlayfs "$work/programs.tar" >/dev/null
	rm "$work/programs.tar"
	cat >"$work/kubelet.yaml" <<-EOF
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
		authorization: {mode: AlwaysAllow}
		containerRuntimeEndpoint: unix://$work/containerd/socket
		cgroupDriver: cgroupfs
		cgroupRoot: $group
		failCgroupV1: false
		failSwapOn: false
		enforceNodeAllocatable: [pods]
		clusterDNS: [$dns_ip]
		clusterDomain: cluster.local
		resolvConf: $work/resolv.conf
		address: $node_ip
		volumePluginDir: $work/kubelet/plugins
		podLogsDir: $work/pods
		oomScoreAdj: 0
		makeIPTablesUtilChains: false
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
	EOF
	start kubelet "$programs/kubelet" --config "$work/kubelet.yaml" --kubeconfig "$work/kubelet.kubeconfig" --root-dir "$work/kubelet" \
		--cert-dir "$work/kubelet/certificates" --hostname-override node1 --node-ip $node_ip
	cat >"$work/kube-proxy.yaml" <<-EOF
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		mode: nftables
		clientConnection: {kubeconfig: $work/kube-proxy.kubeconfig}
		clusterCIDR: 10.244.0.0/24
		oomScoreAdj: 0
		conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	EOF
	start kube-proxy "$programs/kube-proxy" --config "$work/kube-proxy.yaml" --hostname-override node1
	until_ok 60 "${kubectl[@]}" wait --for condition=Ready --timeout 1s node/node1
}

# start_knative: names first, which the activator asks for; then Serving, the ingress and Eventing. Every part asks for
# little of the two cores that there may be.
start_knative() {
	local serving eventing
	serving=$(source_of knative.dev/serving) eventing=$(source_of knative.dev/eventing)
	apply "$cluster/coredns/coredns.yaml"
	{ resources_of_serving && resources_of_eventing && documents "$eventing"/config/channels/in-memory-channel/resources/*.yaml; } | "${kubectl[@]}" apply --server-side -f - >/dev/null
	"${kubectl[@]}" wait --for condition=Established --timeout 60s crd --all >/dev/null
	documents "$serving"/config/core/200-roles/*.yaml "$serving"/config/core/200-serviceaccount.yaml | "${kubectl[@]}" apply -f - >/dev/null
	documents "$eventing"/config/core/200-*.yaml "$eventing"/config/core/roles/*.yaml "$eventing"/config/channels/in-memory-channel/200-*.yaml \
		"$eventing"/config/channels/in-memory-channel/roles/*.yaml "$eventing"/config/brokers/mt-channel-broker/roles/*.yaml | "${kubectl[@]}" apply -f - >/dev/null
	{ config_of_serving && config_of_eventing && documents "$eventing"/config/channels/in-memory-channel/configmaps/*.yaml; } | "${kubectl[@]}" apply -f - >/dev/null
	configure config-network '"ingress-class": "traefik.ingress.networking.knative.dev"'
	configure config-domain '"example.com": ""' # the one that comes would make every route private
	configure config-autoscaler '"stable-window": "6s", "scale-to-zero-grace-period": "6s", "scale-to-zero-pod-retention-period": "0s"'
	configure config-deployment '"progress-deadline": "120s", "queue-sidecar-cpu-request": "10m"'
	documents "$eventing"/third_party/eventing-integrations-latest/*-images.yaml | "${kubectl[@]}" apply -f - >/dev/null # the controller wants to know them
	documents "$serving"/config/core/999-cache.yaml | local_images | "${kubectl[@]}" apply -f - >/dev/null
	documents "$serving"/config/core/deployments/{controller,autoscaler,activator,webhook}.yaml | deployments
	documents "$serving"/config/core/webhooks/*.yaml | "${kubectl[@]}" apply -f - >/dev/null
	apply "$cluster/traefik/traefik.yaml"
	documents "$eventing"/config/core/deployments/{controller,webhook,job-sink}.yaml "$eventing"/config/channels/in-memory-channel/deployments/*.yaml \
		"$eventing"/config/brokers/mt-channel-broker/deployments/{broker-filter,broker-ingress,controller}.yaml | deployments
	documents "$eventing"/config/core/webhooks/*.yaml "$eventing"/config/channels/in-memory-channel/webhooks/*.yaml | "${kubectl[@]}" apply -f - >/dev/null
	for space in kube-system knative-serving traefik knative-eventing; do "${kubectl[@]}" -n $space rollout status deployment --timeout 150s >/dev/null; done
}
apply() { "${kubectl[@]}" apply -f "$1" >/dev/null; }
configure() { "${kubectl[@]}" -n knative-serving patch configmap "$1" --type merge -p "{\"data\": {$2}}" >/dev/null; }

# deployments: applies what comes, with our images, and asking for little of a processor.
deployments() { local_images | sed '/requests:/,/limits:/s/cpu: .*/cpu: 10m/' | "${kubectl[@]}" apply -f - >/dev/null; }

# program_images FILE: one image for each program of the cluster, all of one layer, as an archive.
program_images() {
	local dir=$work/layer name diff first=
	mkdir -p "$dir/tree"/{tmp,etc,var/run/ko}
	chmod 1777 "$dir/tree/tmp"
	printf 'root:x:0:0::/:/\nnonroot:x:65532:65532::/:/\n' >"$dir/tree/etc/passwd"
	for name in pause coredns traefik "${serving_programs[@]}" "${eventing_programs[@]}"; do ln "$programs/$name" "$dir/tree/$name" 2>/dev/null || cp "$programs/$name" "$dir/tree/$name"; done
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$dir/tree" -cf "$dir/layer.tar" .
	diff=$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)
	{
		printf '['
		for name in pause coredns traefik "${serving_programs[@]}" "${eventing_programs[@]}"; do
			printf '{"architecture":"%s","os":"linux","config":{"User":"65532","Entrypoint":["/%s"],"Env":["PATH=/","KO_DATA_PATH=/var/run/ko"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
				"$(dpkg --print-architecture)" "$name" "$diff" >"$dir/$name.json"
			printf '%s{"Config":"%s.json","RepoTags":["dev.local/%s:e2e"],"Layers":["layer.tar"]}' "$first" "$name" "$name" && first=,
		done
		printf ']'
	} >"$dir/manifest.json"
	tar -C "$dir" -cf "$1" --exclude ./tree .
	rm -rf "$dir"
}
