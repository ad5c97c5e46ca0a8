# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# data-lib.sh -- for the benchmarks that move data: a LAN behind the server and
# clients with a tunnel device. Sourced after lib.sh.
#
#   client 192.0.2.2 --veth-- 192.0.2.1 server 10.10.0.1 --veth-- 10.10.0.100 lan
#
# MTU 1500 and the veths' offloads as the kernel makes them. iperf3 listens in
# the LAN.

LAN=10.10.0.100
IPERF_PORT=5201
OCSERV_MTU=1500 # of the path: ocserv takes its own overhead off
export LAB LAB_CLIENT=client

data_enter() {
	local tool
	for tool in openconnect iperf3 jq ping; do
		command -v $tool >/dev/null || die "$tool is missing: deploy/setup test"
	done
	[ -x "$PERF_BIN/vpnload" ] || die "$PERF_BIN/vpnload is missing: make perfs"
	LAB=$PERF/client
	mkdir -p "$LAB"
	ip netns add lan
	ip link add lan0 type veth peer name eth0 netns lan
	ip addr add 10.10.0.1/24 dev lan0
	ip link set lan0 up
	ip -n lan addr add $LAN/24 dev eth0
	ip -n lan link set eth0 up
	ip -n lan link set lo up
	ip -n lan route add default via 10.10.0.1
	echo 1 >/proc/sys/net/ipv4/ip_forward
	in_lan iperf3 -s -p $IPERF_PORT -D -I "$PERF/iperf3.pid" ||
		die "iperf3 does not start"
	PIN=pin-sha256:$(openssl x509 -in "$PERF/cert.pem" -pubkey -noout |
		openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64)
}

in_lan() {
	ip netns exec lan "$@"
}

# vpnd with one worker, beside the one with as many as it thinks right.
vpnd1_start() {
	local SERVER_NAME=vpnd
	WORKERS=1 vpnd_start
}

data_versions() {
	perf_versions
	echo "         $(openconnect --version | head -1) ($(openconnect --version |
		sed -n 's/^Using \(.*\)\. Features.*/\1/p')), $(iperf3 --version | head -1)"
	echo "load:    $(cut -d' ' -f1-3 /proc/loadavg) (on a busy machine only ratios mean anything)"
}

# The server goes before all others at the processor, whatever else the machine does:
# for what is about delays. Processes made later inherit it. Real time where the
# kernel lets us: under load a good nice value still waits for milliseconds.
urgent_start() { # vpnd | vpnd1 | ocserv
	server_start "$1"
	local pid
	for pid in $(tree_pids); do
		chrt -a -r -p 1 "$pid" 2>/dev/null || renice -n -20 "$pid" >/dev/null
	done
}

urgent() { # COMMAND...
	if chrt -r 1 true 2>/dev/null; then chrt -r 1 "$@"; else nice -n -20 "$@"; fi
}

# ---- clients: one at a time, with the device vpn0 ----

openconnect_start() { # dtls | tls
	local i option=
	[ "$1" = dtls ] || option=--no-dtls
	rm -f "$LAB"/client.*
	in_client timeout 600 openconnect --protocol=anyconnect -v --servercert "$PIN" \
		--non-inter --passwd-on-stdin -u $NAME -i vpn0 \
		-s "$ROOT/tests/lib/vpnc-lab" $option "https://$SERVER:$PORT" \
		<<<$PASSWORD >"$LAB/log" 2>&1 &
	CLIENT_PID=$!
	disown
	for i in $(seq 150); do
		if [ -e "$LAB/client.up" ] && client_has "$1"; then
			sleep 0.5 # the probes of the path's MTU
			return 0
		fi
		kill -0 $CLIENT_PID 2>/dev/null || break
		sleep 0.1
	done
	tail -20 "$LAB/log" >&2
	server_log
	die "$SERVER_NAME: openconnect ($1) does not come up"
}

vpnload_start() { # dtls | tls
	local i up address mtu
	rm -f "$LAB"/client.*
	: >"$LAB/log"
	in_client timeout 600 "$PERF_BIN/vpnload" tunnel $SERVER $PORT $NAME $PASSWORD "$1" vpn0 \
		>"$LAB/log" 2>&1 &
	CLIENT_PID=$!
	disown
	for i in $(seq 150); do
		read -r up address mtu <"$LAB/log" && [ "$up" = up ] && break
		kill -0 $CLIENT_PID 2>/dev/null || break
		sleep 0.1
	done
	if [ "${up:-}" != up ]; then
		cat "$LAB/log" >&2
		server_log
		die "$SERVER_NAME: vpnload ($1) does not come up"
	fi
	in_client env reason=connect TUNDEV=vpn0 VPNGATEWAY=$SERVER INTERNAL_IP4_MTU="$mtu" \
		INTERNAL_IP4_ADDRESS="$address" "$ROOT/tests/lib/vpnc-lab" 2>/dev/null
}

client_has() { # dtls | tls
	[ "$1" = tls ] || grep -q 'Established DTLS connection' "$LAB/log"
}

# The device's MTU, which says how many packets a GiB is.
client_mtu() {
	in_client cat /sys/class/net/vpn0/mtu
}

client_stop() {
	local i pids
	pids="$(cat /proc/$CLIENT_PID/task/*/children 2>/dev/null) $CLIENT_PID"
	kill -INT $pids 2>/dev/null
	for i in $(seq 50); do
		kill -0 $CLIENT_PID 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL $pids 2>/dev/null
}

# ---- traffic ----

# Runs iperf3 in the client and sets cpu, bytes, packets (got), lost, seconds.
# A first attempt may find iperf3's server still busy with the run before. TCP runs
# with cubic, Linux's own default: bbr, where a distribution has chosen it, paces by
# timers in the middle of the server's system calls and sends on through any loss.
iperf_run() { # SECONDS OPTIONS...
	local before after json=$PERF/iperf.json s=$1 try cc="-C ${CC:-cubic}"
	shift
	[[ " $* " != *" -u "* ]] || cc=
	for try in 1 2 3; do
		before=$(tree_cpu_s)
		in_client timeout $((s + 10)) iperf3 -c $LAN -p $IPERF_PORT -t "$s" -J $cc "$@" \
			>"$json" 2>/dev/null
		after=$(tree_cpu_s)
		cpu=$(calc %.4f "$after - $before")
		bytes=$(jq -r '.end.sum_received.bytes // 0' "$json" 2>/dev/null)
		seconds=$(jq -r '.end.sum_received.seconds // 0' "$json" 2>/dev/null)
		packets=$(jq -r '.end.sum | ((.packets // 0) - (.lost_packets // 0))' "$json" 2>/dev/null)
		lost=$(jq -r '.end.sum.lost_percent // 0' "$json" 2>/dev/null)
		[ "${bytes:-0}" -gt 0 ] 2>/dev/null || [ "${packets:-0}" -gt 0 ] 2>/dev/null && return 0
		sleep 1
	done
	echo "$SERVER_NAME: iperf3 $*: $(jq -r '.error // "no data"' "$json" 2>/dev/null)" >&2
	tail -5 "$LAB/log" >&2
	server_log
	return 1
}

# vpnload without a device: COUNT sessions, RATE[,RATE...] each, BYTES, SECONDS. It
# and the echo go before others: what they wait for should be the server.
many() { # dtls | tls | plain, COUNT, RATES, BYTES, SECONDS
	urgent ip netns exec client timeout 300 "$PERF_BIN/vpnload" many $SERVER $PORT $NAME $PASSWORD \
		"$1" "$2" "$3" "$4" "$5" $LAN
}

echo_start() { # BYTES of an answer, 0: all
	urgent ip netns exec lan "$PERF_BIN/vpnload" echo "$1" >"$PERF/echo.log" 2>&1 &
	ECHO_PID=$!
	disown
}

echo_stop() {
	kill $ECHO_PID 2>/dev/null
}

each() { # SESSIONS, TOTAL RATE... -> RATE,... of each session
	local n=$1 t list=
	shift
	for t; do
		list=$list${list:+,}$(calc %.4f "$t / $n")
	done
	echo "$list"
}

field() { # NAME, from vpnload's lines
	sed -n "s/^many .* $1=\([0-9.]*\).*/\1/p"
}

# The highest of these rates at which less than 1 % is lost and the load client is
# in time. Starts and stops the server.
full_load() { # SERVER, dtls | tls, SESSIONS, BYTES, TOTAL RATE...
	local best=0 lost late sent total server=$1 kind=$2 n=$3 bytes=$4
	shift 4
	urgent_start "$server"
	many "$kind" "$n" "$(each "$n" "$@")" "$bytes" 2 >"$PERF/steps" || die "$server: no load"
	server_stop
	while read -r total lost late sent; do
		[ "$(calc %d "$lost < 1 && $late < $sent / 20")" = 1 ] && best=$total
	done < <(paste -d' ' <(printf '%s\n' "$@") <(field lost_pct <"$PERF/steps") \
		<(field late <"$PERF/steps") <(field sent <"$PERF/steps"))
	[ "$best" != 0 ] || { cat "$PERF/steps" >&2; die "$server cannot carry $1 packets a second"; }
	echo "$best"
}
