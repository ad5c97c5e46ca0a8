# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# lib.sh -- for the benchmarks: a network of their own, the two servers with the
# same certificate and the same user, and what their processes use.
#
# perf_enter starts the script again in new network, mount and process
# namespaces. When it ends, for whatever reason, everything in them is gone.
#
#   client 192.0.2.2 --veth-- 192.0.2.1 server (this namespace)

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TANDEM_BIN=${TANDEM_BIN:-$ROOT/build/release/bin}
PERF_BIN=${PERF_BIN:-$(dirname "$TANDEM_BIN")/perf}
SERVER=192.0.2.1
PORT=443
NAME=alice
PASSWORD=measure-me
HZ=$(getconf CLK_TCK)

die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

perf_enter() {
	[ "$(id -u)" = 0 ] || die "needs root: it makes network namespaces"
	if [ -z "${PERF_INSIDE:-}" ]; then
		export PERF_INSIDE=1
		exec unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@"
	fi
	local tool
	for tool in ocserv openssl ip; do
		command -v $tool >/dev/null || die "$tool is missing (apt-get install ocserv openssl iproute2)"
	done
	[ -x "$PERF_BIN/vpnlogin" ] || die "$PERF_BIN/vpnlogin is missing: make build/release/perf/vpnlogin"
	ulimit -n "$(ulimit -Hn)"
	mount -t tmpfs -o mode=755 tmpfs /run
	PERF=$(mktemp -d /run/perf.XXXXXX)
	chmod 755 "$PERF"

	ip link set lo up
	ip netns add client
	ip link add wan type veth peer name eth0 netns client
	ip addr add $SERVER/24 dev wan
	ip link set wan up
	ip -n client addr add 192.0.2.2/24 dev eth0
	ip -n client link set eth0 up
	ip -n client link set lo up
	ip route add default via 192.0.2.2 # vpnd serves the interface of the default route
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj /CN=vpn.example -keyout "$PERF/key.pem" -out "$PERF/cert.pem" 2>/dev/null ||
		die "no certificate"
	HASH=$(openssl passwd -1 -salt perfperf $PASSWORD)
}

in_client() {
	ip netns exec client "$@"
}

perf_versions() {
	echo "machine: $(nproc) x $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(
		awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
	echo "kernel:  $(uname -sr)"
	echo "servers: $("$TANDEM_BIN/vpnd" -V 2>/dev/null | head -1), $(ocserv --version 2>&1 | head -1)"
	echo "client:  vpnlogin with $(openssl version)"
}

# Wait until something listens.
await_port() { # PID
	local i
	for i in $(seq 100); do
		[ -n "$(ss -Hltn "sport = :$PORT")" ] && return 0
		kill -0 "$1" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

ocserv_start() {
	rm -rf "$PERF/oc"
	mkdir "$PERF/oc"
	echo "$NAME:*:$HASH" >"$PERF/oc/users"
	cat >"$PERF/oc/conf" <<-END
	auth = "plain[passwd=$PERF/oc/users]"
	tcp-port = $PORT
	udp-port = $PORT
	listen-host = $SERVER
	run-as-user = nobody
	run-as-group = nogroup
	socket-file = $PERF/oc/socket
	pid-file = $PERF/oc/pid
	server-cert = $PERF/cert.pem
	server-key = $PERF/key.pem
	isolate-workers = true
	max-clients = 0
	max-same-clients = 0
	rate-limit-ms = 0
	max-ban-score = 0
	keepalive = 30
	dpd = 30
	mobile-dpd = 30
	compression = false
	dtls-psk = true
	dtls-legacy = true
	cisco-client-compat = true
	match-tls-dtls-ciphers = false
	use-occtl = false
	device = oc
	ipv4-network = 10.200.0.0
	ipv4-netmask = 255.255.240.0
	ping-leases = false
	mtu = ${OCSERV_MTU:-1400}
	END
	ocserv -f -c "$PERF/oc/conf" >"$PERF/oc/log" 2>&1 &
	SERVER_PID=$!
	disown
	await_port $SERVER_PID || { tail -20 "$PERF/oc/log" >&2; die "ocserv does not listen"; }
}

vpnd_start() {
	local i
	rm -rf "$PERF/vpnd"
	mkdir -p "$PERF/vpnd/state" "$PERF/vpnd/run"
	cat >"$PERF/vpnd/conf" <<-END
	server {
	  port = $PORT
	  workers = ${WORKERS:-0}
	  certificate = "$PERF/cert.pem"
	  key = "$PERF/key.pem"
	}
	client_connection {
	  dpd = 30
	}
	END
	# ocserv leaves masquerading to the administrator; so nobody masquerades here.
	printf 'node { mode = passthrough }\nwan wan1 { nat = false }\n' >"$PERF/vpnd/node.conf"
	"$TANDEM_BIN/vpnd" -f "$PERF/vpnd/conf" -n "$PERF/vpnd/node.conf" \
		-s "$PERF/vpnd/state" -r "$PERF/vpnd/run" >"$PERF/vpnd/log" 2>&1 &
	SERVER_PID=$!
	disown
	await_port $SERVER_PID || { tail -20 "$PERF/vpnd/log" >&2; die "vpnd does not listen"; }
	for i in $(seq 50); do
		"$TANDEM_BIN/vpnctl" -S "$PERF/vpnd/run/vpnd.sock" user add $NAME --hash "$HASH" \
			>"$PERF/vpnd/user" 2>&1 && return
		sleep 0.1
	done
	cat "$PERF/vpnd/user" >&2
	die "the user could not be added"
}

server_start() { # vpnd | ocserv
	SERVER_NAME=$1
	"$1_start"
	sleep 0.5
}

server_stop() {
	local pid
	kill -TERM $SERVER_PID 2>/dev/null
	for _ in $(seq 50); do
		kill -0 $SERVER_PID 2>/dev/null || break
		sleep 0.1
	done
	# ocserv waits for its workers longer than we do.
	for pid in $(tree_pids); do
		kill -KILL "$pid" 2>/dev/null
	done
	for _ in $(seq 100); do
		[ -z "$(ss -Hltn "sport = :$PORT")" ] && break
		sleep 0.1
	done
}

# The server's log, when something went wrong.
server_log() {
	case $SERVER_NAME in
	ocserv) tail -30 "$PERF/oc/log" ;;
	*) tail -30 "$PERF/$SERVER_NAME/log" ;;
	esac >&2
}

# The server's process and all below it.
tree_pids() {
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v top="$SERVER_PID" '
		{ pid = $1; sub(/^.*\) /, ""); parent[pid] = $2 }
		END {
			for (p in parent) {
				for (q = p; q in parent && q != top; q = parent[q])
					;
				if (q == top)
					print p
			}
		}'
}

# CPU seconds of the tree, user and system. Of those alive to the nanosecond: a
# clock tick per process would hide what hundreds of idle processes use. With
# the children they have reaped: ocserv serves each connection in a process that
# is gone afterwards.
tree_cpu_s() {
	local pid
	for pid in $(tree_pids); do
		cat /proc/$pid/task/*/schedstat /proc/$pid/stat 2>/dev/null
	done | awk -v hz="$HZ" '
		NF == 3 { s += $1 / 1e9; next }
		{ sub(/^.*\) /, ""); s += ($14 + $15) / hz }
		END { printf "%.6f", s }'
}

# KiB of the tree, shared pages divided among those who share them.
tree_pss_kib() {
	local pid
	for pid in $(tree_pids); do
		cat /proc/$pid/smaps_rollup 2>/dev/null
	done | awk '/^Pss:/ { kib += $2 } END { print kib + 0 }'
}

median() {
	sort -g | awk '{ v[NR] = $1 }
		END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

calc() { # FORMAT EXPRESSION
	awk "BEGIN { printf \"$1\", $2 }"
}
