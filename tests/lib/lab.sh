# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# lab.sh -- a network, a gateway and real clients for one system test (bash).
#
# Sourced first thing by a test. It re-executes the test in mount, pid, network,
# uts and ipc namespaces of its own with a fresh tmpfs on /run, so names, ports
# and process ids are private, tests run side by side, and when the test dies for
# any reason the kernel removes everything. Nothing outside the scratch folder
# $LAB is written, except the logs of a failed test in build/test-logs/NAME.
#
#   c1 203.0.113.11 --+                                    +-- lan 10.10.0.100
#   c2 203.0.113.12 --+-- wan ------------ gw -------------+
#   ...               |   .1    192.0.2.1     192.0.2.10   10.10.0.1
#   2001:db8:3::/64 --+         2001:db8:1::1 2001:db8:1::10   fd00:10::1, ::100
#
# `wan` also answers for 198.51.100.10, a public address translated 1:1 to gw.
#
# Checks     plan N; ok NAME CMD...; fails NAME CMD...; is NAME GOT WANT;
#            like NAME GOT RE; unlike; skip NAME WHY; note TEXT; bail WHY
# Places     in_ns NS CMD..., bg_ns NS CMD..., in_client (c1), in_gateway, in_lan, in_wan
# Patience   within SECONDS CMD...: polls; never sleep for something that comes
# Server     vpnd_up [CONFIG [NODECONFIG]]; vpnd_try CONFIG (expects an exit,
#            text in $LAB/try.log, code in $VPND_RC); vpnd_stop; vpnd_reload CONFIG;
#            vpnd_pids [PROCESS]; vpnd_kill9 PROCESS; vpnd_kill9_all; ctl ARGS...
#            user_add NAME PASSWORD; log_has RE; event_count NAME [JQ-CONDITION];
#            sessions_are N (not counting those that linger after a goodbye); session_get USER KEY
# Beside it  hasync_up; acmed_up [CONFIG], acmed_config CONFIG (while it runs), acmed_down;
#            acme JSON: one question to acmed's control socket
# Clients    client_up USER[@NS] [openconnect options]; client_down [NS];
#            client_env VAR [NS]; client_log_has RE [NS]; client_gone [NS];
#            client_reasons [NS]; header NAME [NS]; has_dtls [NS]; pings [NS]
#            ping_start NS ADDR, ping_lost (ends it, prints how many were lost)
#            SERVER (address or name) and PORT say where to
# Trouble    udp_block, udp_unblock, tcp_reset NS

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_NAME=$(basename "$0" .t)
PATH=$PATH:/usr/sbin:/sbin

# Elsewhere a test is skipped; where it has to run (LAB_MUST_RUN=1), it fails.
lab_skip_all() {
	[ -z "$LAB_MUST_RUN" ] || { echo "Bail out! $1"; exit 99; }
	echo "1..0 # SKIP $1"; exit 0
}

if [ -z "$LAB_INNER" ]; then
	[ "$(id -u)" = 0 ] || lab_skip_all "needs root"
	unshare -mpnui --fork --kill-child --mount-proc true 2> /dev/null ||
		lab_skip_all "cannot make namespaces"
	for lab_p in openconnect ip nft ss jq openssl nsenter socat conntrack tcpdump; do
		command -v $lab_p > /dev/null || lab_skip_all "no $lab_p: deploy/setup test"
	done
	lab_b=${TANDEM_BIN:-$LAB_ROOT/build/release/bin}
	export LAB_INNER=1 TANDEM_BIN=$(cd "$lab_b" 2> /dev/null && pwd || echo "$lab_b")
	# The host's view of /proc, only to learn our pid as seen from outside.
	exec 9< /proc
	exec unshare --mount --propagation private --pid --net --uts --ipc --fork \
		--kill-child --mount-proc "$0" "$@"
fi

# ---- checks -----------------------------------------------------------------

lab_n=0 lab_bad=0 lab_plan=
plan() { lab_plan=$1; echo "1..$1"; }
note() { echo "# $*"; }
lab_result() { # 0|other NAME
	lab_n=$((lab_n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $lab_n - $2"
		return 0
	fi
	lab_bad=$((lab_bad + 1))
	echo "not ok $lab_n - $2"
	note "at ${BASH_SOURCE[2]##*/}:${BASH_LINENO[1]}"
	return 1
}
# In this shell, not in a subshell: what is checked may start things.
ok() {
	local name=$1 rc; shift
	"$@" > "$LAB/out" 2>&1 < /dev/null; rc=$?
	lab_result $rc "$name" || lab_said "failed ($rc): $*"
}
fails() {
	local name=$1 rc; shift
	"$@" > "$LAB/out" 2>&1 < /dev/null; rc=$?
	[ $rc != 0 ]; lab_result $? "$name" || lab_said "should have failed: $*"
}
lab_said() { note "$1"; tail -n 5 "$LAB/out" | sed 's/^/#   /'; }
is() { [ "$2" = "$3" ]; lab_result $? "$1" || { note "got:  $2"; note "want: $3"; }; }
like() { [[ $2 =~ $3 ]]; lab_result $? "$1" || { note "got: ${2:0:600}"; note "want something like: $3"; }; }
unlike() { ! [[ $2 =~ $3 ]]; lab_result $? "$1" || { note "got: ${2:0:600}"; note "want nothing like: $3"; }; }
skip() { lab_n=$((lab_n + 1)); echo "ok $lab_n - $1 # SKIP $2"; }
bail() { echo "Bail out! $*"; lab_bad=99; exit 99; }

lab_now_ms() { local t=$EPOCHREALTIME; t=${t/[.,]/}; echo $((t / 1000)); }
within() { # SECONDS CMD...
	local end=$(($(lab_now_ms) + $1 * 1000)); shift
	until "$@" > /dev/null 2>&1; do
		[ "$(lab_now_ms)" -lt $end ] || return 1
		sleep 0.05
	done
}

# What a failed test leaves behind, and what prove reads at the end.
lab_end() {
	local rc=$? f dir
	kill $lab_watch 2> /dev/null
	if [ -z "$lab_plan" ]; then echo "1..$lab_n"; lab_plan=$lab_n; fi
	[ "$lab_n" = "$lab_plan" ] || { note "planned $lab_plan, ran $lab_n"; lab_bad=$((lab_bad + 1)); }
	[ $rc = 0 ] || [ $lab_bad != 0 ] || lab_bad=$rc
	# vpnd starts again what a sanitizer or an assertion has ended: not good all the same.
	if grep -E 'Sanitizer|runtime error:|Assertion .* failed' "$LAB/vpnd.log" 2> /dev/null |
		head -n 3 | sed 's/^/# vpnd: /' | grep .; then lab_bad=$((lab_bad + 1)); fi
	dir=$LAB_ROOT/build/test-logs/$LAB_NAME
	rm -rf "$dir" # of a run before
	if [ $lab_bad != 0 ] && [ -d "$LAB" ]; then
		mkdir -p "$dir"
		kill "$lab_dump" 2> /dev/null; wait "$lab_dump" 2> /dev/null
		(ctl -j status; ctl -j sessions; ctl events --last 200) > "$LAB/ctl.txt" 2>&1
		(in_gateway ip addr; in_gateway ip route; in_gateway ip -6 route
			in_gateway nft list ruleset; in_gateway ss -lntup) > "$LAB/gw.txt" 2>&1
		cp -r "$LAB"/*.log "$LAB"/*.txt "$LAB"/*.env* "$LAB"/*.conf "$LAB"/wan.pcap "$dir" 2> /dev/null
		for f in "$LAB"/vpnd.log "$LAB"/c*.log; do
			[ -s "$f" ] || continue
			note "---- the end of ${f##*/} (all of it: build/test-logs/$LAB_NAME)"
			tail -n 25 "$f" | sed 's/^/# /'
		done
	fi
	[ $lab_bad = 0 ] || exit 1
	exit 0
}

# ---- the network ------------------------------------------------------------

in_ns() { local ns=$1; shift; nsenter --net=/run/netns/$ns "$@"; }
# In the background, its own pid in BG: kill $BG ends the command itself.
bg_ns() { # NS CMD...
	nsenter --net=/run/netns/$1 "${@:2}" < /dev/null &
	BG=$!
}
in_client() { in_ns c1 "$@"; }
in_gateway() { in_ns gw "$@"; }
in_lan() { in_ns lan "$@"; }
in_wan() { in_ns wan "$@"; }

lab_ns() { # NAME...
	local n
	for n; do
		# Before any interface exists: else the first IPv6 packet waits two
		# seconds for duplicate address detection.
		ip netns add $n && ip -n $n link set lo up && in_ns $n sysctl -qw \
			net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0 \
			net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_ra=0 || return 1
	done
}
lab_cable() { # NS IF ADDR4 ADDR6 NS IF ADDR4 ADDR6
	ip -n $1 link add $2 type veth peer name $6 netns $5 &&
	ip -n $1 addr add $3 dev $2 && ip -n $1 addr add $4 dev $2 nodad &&
	ip -n $5 addr add $7 dev $6 && ip -n $5 addr add $8 dev $6 nodad &&
	ip -n $1 link set $2 up && ip -n $5 link set $6 up
}
client_net() { # N: makes cN
	[ -e /run/netns/c$1 ] && return 0
	lab_ns c$1 &&
	ip -n wan link add cable$1 type veth peer name eth0 netns c$1 &&
	ip -n wan link set cable$1 master clients up &&
	ip -n c$1 addr add 203.0.113.$((10 + $1))/24 dev eth0 &&
	ip -n c$1 addr add 2001:db8:3::$((10 + $1))/64 dev eth0 nodad &&
	ip -n c$1 link set eth0 up &&
	ip -n c$1 route add default via 203.0.113.1 &&
	ip -n c$1 -6 route add default via 2001:db8:3::1
}
lab_up() { # [routed|onearm]
	local n
	lab_ns wan gw lan &&
	# A bridge without an address of its own takes the lowest of its ports, and
	# every client added later might change what the others have in their caches.
	ip -n wan link add clients address 02:00:00:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 &&
	ip -n wan addr add 203.0.113.1/24 dev clients &&
	ip -n wan addr add 2001:db8:3::1/64 dev clients nodad &&
	ip -n wan link set clients up &&
	lab_cable wan gw0 192.0.2.1/24 2001:db8:1::1/64 gw wan0 192.0.2.10/24 2001:db8:1::10/64 &&
	ip -n gw route add default via 192.0.2.1 &&
	ip -n gw -6 route add default via 2001:db8:1::1 &&
	in_wan sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 || return 1
	if [ "$1" = onearm ]; then
		# The LAN hangs on the upstream router, which knows where the pool is.
		lab_cable wan lan0 10.10.0.1/24 fd00:10::1/64 lan eth0 10.10.0.100/24 fd00:10::100/64 &&
		ip -n wan route add 10.200.0.0/16 via 192.0.2.10 &&
		ip -n wan -6 route add fd77::/32 via 2001:db8:1::10 || return 1
	else
		lab_cable gw lan0 10.10.0.1/24 fd00:10::1/64 lan eth0 10.10.0.100/24 fd00:10::100/64 || return 1
	fi
	ip -n lan route add default via 10.10.0.1 &&
	ip -n lan -6 route add default via fd00:10::1 &&
	in_wan nft -f - <<-'NFT' || return 1
		table inet nat11 {
			chain pre { type nat hook prerouting priority dstnat
				ip daddr 198.51.100.10 dnat ip to 192.0.2.10
			}
		}
		table inet trouble {
			chain fw { type filter hook forward priority filter
			}
		}
	NFT
	client_net 1 || return 1
	bg_ns gw tcpdump -Z root -qni wan0 -s 200 -c 30000 -U -w "$LAB/wan.pcap" > /dev/null 2>&1
	lab_dump=$BG
	disown
}

# ---- the server -------------------------------------------------------------

SERVER=192.0.2.10
PORT=443
# Short DPD: what a client or we notice by silence is noticed within the test.
VPND_CONFIG='server { workers = 2 }
client_connection { dpd = 5  dpd_mobile = 10 }'
vpnd_args() {
	echo -f "$LAB/tandem.conf" -n "$LAB/node.conf" -s "$LAB/state" -r "$LAB/run"
}
vpnd_write() { # [CONFIG [NODECONFIG]]
	echo "${1-$VPND_CONFIG}" > "$LAB/tandem.conf"
	if [ -n "$2" ]; then echo "$2" > "$LAB/node.conf"; else rm -f "$LAB/node.conf"; fi
	mkdir -p "$LAB/state" "$LAB/run"
}
vpnd_start() { # with what is written already
	ip netns exec gw "$TANDEM_BIN/vpnd" $(vpnd_args) >> "$LAB/vpnd.log" 2>&1 < /dev/null &
	VPND_PID=$!
}
vpnd_serves() {
	[ -S "$LAB/run/vpnd.sock" ] && [ -n "$(in_gateway ss -Hltn "sport = :$PORT")" ] &&
		ctl status
}
vpnd_up() { # [CONFIG [NODECONFIG]]
	vpnd_write "$@"
	vpnd_start
	local end=$(($(lab_now_ms) + 15000))
	until vpnd_serves > /dev/null 2>&1; do
		if ! kill -0 $VPND_PID 2> /dev/null || [ "$(lab_now_ms)" -gt $end ]; then
			note "vpnd does not come up"; tail -n 15 "$LAB/vpnd.log" | sed 's/^/# /'
			return 1
		fi
		sleep 0.05
	done
}
vpnd_try() { # CONFIG [NODECONFIG]: should end by itself
	vpnd_write "$@"
	timeout -s KILL 10 ip netns exec gw "$TANDEM_BIN/vpnd" $(vpnd_args) \
		> "$LAB/try.log" 2>&1 < /dev/null
	VPND_RC=$?
}
vpnd_reload() { # CONFIG
	echo "$1" > "$LAB/tandem.conf"
	ctl reload
}
# All processes of vpnd, or those called `--process NAME`. /proc is this test's own.
vpnd_pids() { # [parent|keys|auth|session|worker]
	local d args
	for d in /proc/[0-9]*; do
		[ "$(readlink $d/exe 2> /dev/null)" = "$TANDEM_BIN/vpnd" ] || continue
		args=" $(tr '\0' ' ' < $d/cmdline 2> /dev/null) "
		case $1 in
		'') ;;
		parent) [[ $args != *" --process "* ]] || continue ;;
		*) [[ $args == *" --process $1"[\ :0-9-]* ]] || continue ;;
		esac
		echo ${d#/proc/}
	done
}
vpnd_has_none_of() { local p; for p; do [ ! -e /proc/$p ] || return 1; done; }
vpnd_kill9() { # PROCESS: one process of that name dies
	local p; p=$(vpnd_pids $1 | head -n 1)
	[ -n "$p" ] && kill -9 $p && within 2 vpnd_has_none_of $p
}
vpnd_kill9_all() {
	local all; all=$(vpnd_pids)
	[ -n "$all" ] && kill -9 $all && within 3 vpnd_has_none_of $all
}
vpnd_stop() {
	local all; all=$(vpnd_pids)
	kill -TERM $VPND_PID && within 5 vpnd_has_none_of $all
}
ctl() { timeout 10 "$TANDEM_BIN/vpnctl" -S "$LAB/run/vpnd.sock" "$@"; }

# ---- beside it --------------------------------------------------------------

hasync_up() {
	mkdir -p "$LAB/state" "$LAB/run"
	echo "pair_key = \"$LAB/pair.key\"" > "$LAB/hasync.conf"
	bg_ns gw "$TANDEM_BIN/hasync" -f "$LAB/hasync.conf" -s "$LAB/state" -r "$LAB/run" \
		>> "$LAB/hasync.log" 2>&1
	hasync_pid=$BG
	disown
	within 5 test -S "$LAB/run/hasync.sock"
}
acmed_config() { # CONFIG: as vpnd tells what it runs
	mkdir -p "$LAB/state/running" &&
	echo "$1" > "$LAB/state/running/tandem.tmp" &&
	mv "$LAB/state/running/tandem.tmp" "$LAB/state/running/tandem.conf"
}
acmed_up() { # [CONFIG]: none: what vpnd runs
	[ $# = 0 ] || acmed_config "$1"
	bg_ns gw "$TANDEM_BIN/acmed" $ACMED_OPTIONS $(vpnd_args) -k "$LAB/pair.key" \
		>> "$LAB/acmed.log" 2>&1
	acmed_pid=$BG
	disown
	within 5 acme '{"cmd":"status"}'
}
acmed_down() { kill $acmed_pid; within 3 test ! -e /proc/$acmed_pid; }
acme() { # JSON
	local a; a=$(socat -t 20 - "UNIX:$LAB/run/acmed.sock" <<< "$1") && [ -n "$a" ] && echo "$a"
}

# ---- users, events, sessions ------------------------------------------------

declare -A lab_password
user_add() { # NAME PASSWORD
	lab_password[$1]=$2
	printf '%s\n' "$2" | ctl user add "$1" --password-stdin > /dev/null
}
log_has() { grep -qE -- "$1" "$LAB/vpnd.log"; }
# Events since the start of the state folder; the condition is jq over one event.
event_count() { # NAME [CONDITION]
	ctl -j events --last 1000 | jq -c "if .events then .events[] else . end
		| select(.event == \"$1\") | select(${2:-true})" | grep -c .
}
event_seen() { [ "$(event_count "$@")" -gt 0 ]; }
sessions_are() { [ "$(ctl -j sessions | jq '[.sessions[] | select(.state != "linger")] | length')" = "$1" ]; }
session_get() { # USER KEY
	ctl -j sessions | jq -r ".sessions[] | select(.user == \"$1\") | .$2"
}
# What openconnect's --servercert wants for our self-signed certificate.
server_pin() {
	in_client openssl s_client -connect "${1:-$SERVER}:$PORT" < /dev/null 2> /dev/null |
		openssl x509 -pubkey -noout 2> /dev/null |
		openssl pkey -pubin -outform DER 2> /dev/null |
		openssl dgst -sha256 -binary | openssl base64 | sed 's/^/pin-sha256:/'
}

# ---- clients ----------------------------------------------------------------

declare -A lab_client
client_pid() { echo "${lab_client[${1:-c1}]}"; }
client_alive() { kill -0 "${lab_client[${1:-c1}]}" 2> /dev/null; }
client_gone() { ! client_alive "$@"; }
client_is_up() { client_alive $1 && [ -e "$LAB/$1.up" ]; }
# Starts and does not wait. --non-inter: a second question ends the client.
client_start() { # USER[@NS] [openconnect options]
	local user=$1 ns=c1; shift
	[[ $user == *@c[0-9]* ]] && { ns=${user##*@}; user=${user%@*}; }
	client_net ${ns#c} || return 1
	rm -f "$LAB/$ns".env* "$LAB/$ns".up "$LAB/$ns".reasons
	[ -n "$PIN" ] || PIN=$(server_pin)
	LAB=$LAB LAB_CLIENT=$ns ip netns exec $ns timeout -k 5 250 openconnect --protocol=anyconnect \
		-v --timestamp --servercert "$PIN" --non-inter --passwd-on-stdin -u "$user" \
		-i vpn0 -s "$LAB_ROOT/tests/lib/vpnc-lab" --reconnect-timeout 60 "$@" \
		"https://$SERVER:$PORT" <<< "${PASSWORD-${lab_password[$user]}}" \
		> "$LAB/$ns.log" 2>&1 &
	lab_client[$ns]=$!
	CLIENT_NS=$ns
}
client_up() { # as client_start, and waits
	client_start "$@" || return 1
	local ns=$CLIENT_NS end=$(($(lab_now_ms) + 20000))
	until client_is_up $ns; do
		client_gone $ns && { wait "${lab_client[$ns]}"; CLIENT_RC=$?; return 1; }
		[ "$(lab_now_ms)" -lt $end ] || return 1
		sleep 0.05
	done
}
# A client that is expected to end by itself; its exit code in CLIENT_RC.
client_try() { # SECONDS as client_start
	local s=$1; shift
	client_start "$@" || return 1
	local ns=$CLIENT_NS
	within $s client_gone $ns || { client_down $ns; CLIENT_RC=timeout; return 1; }
	wait "${lab_client[$ns]}"; CLIENT_RC=$?
}
# The client's own process: `timeout` stands between it and us.
client_oc() { cat /proc/${lab_client[${1:-c1}]}/task/*/children 2> /dev/null; }
client_signal() { kill -$1 $(client_oc ${2:-c1}); }
client_down() { # [NS]: says goodbye, as Ctrl-C does
	local ns=${1:-c1}
	client_alive $ns || return 0
	client_signal INT $ns; within 5 client_gone $ns
}
client_kill9() { local ns=${1:-c1}; client_signal KILL $ns; within 5 client_gone $ns; }
client_env() { sed -n "s/^$1=//p" "$LAB/${2:-c1}.env" 2> /dev/null; }
client_log_has() { grep -qE -- "$1" "$LAB/${2:-c1}.log"; }
client_log_count() { grep -cE -- "$1" "$LAB/${2:-c1}.log"; }
client_reasons() { tr '\n' ' ' < "$LAB/${1:-c1}.reasons"; }
# A header of the first CONNECT answer, as openconnect -v logs it.
header() { # NAME [NS]
	sed -n "s/^\(\[[^]]*\] \)\{0,1\}$1: //p" "$LAB/${2:-c1}.log" | head -n 1
}
has_dtls() { client_log_has 'Established DTLS connection' ${1:-c1}; }
inner4() { client_env INTERNAL_IP4_ADDRESS ${1:-c1}; }
inner6() { client_env INTERNAL_IP6_ADDRESS ${1:-c1} | sed 's|/.*||'; }
listens() { in_ns $1 ss -lnH${3:-t} "sport = :$2" | grep -q .; } # NS PORT [u]
pings() { in_ns ${1:-c1} ping -q -c 3 -i 0.05 -W 1 ${2:-10.10.0.100}; }
# A ping every 50 ms whose loss is counted when it ends.
ping_start() { # NS ADDR
	bg_ns $1 ping -n -i 0.05 -W 1 $2 > "$LAB/ping.txt" 2>&1
	lab_ping=$BG
}
ping_lost() { # prints the number of echoes that never came; the last one is still on its way
	kill -INT $lab_ping; within 3 test ! -e /proc/$lab_ping
	awk '/icmp_seq=/ { sub(/.*icmp_seq=/, ""); last = $1 }
		/packets transmitted/ { n = $1 - $4; told = 1; if (n > 0 && last < $1) n-- }
		END { print told ? n : "unknown" }' "$LAB/ping.txt"
}

# ---- trouble ----------------------------------------------------------------

trouble() { in_wan nft add rule inet trouble fw "$@"; }
trouble_over() { in_wan nft flush chain inet trouble fw; }
udp_block() { trouble udp dport $PORT drop; trouble udp sport $PORT drop; }
udp_unblock() { trouble_over; }
# The client's TCP connection is reset as a middlebox would: by the next segment
# in either direction of that one connection.
tcp_reset() { # [NS]
	local p
	p=$(in_ns ${1:-c1} ss -Htn state established "dport = :$PORT" | awk '{ print $3 }' |
		sed 's/.*://' | head -n 1)
	[ -n "$p" ] && trouble tcp sport $p reject with tcp reset &&
		trouble tcp dport $p reject with tcp reset
}

# ---- begin ------------------------------------------------------------------

# pid 1 of a pid namespace ignores what it does not handle.
trap 'exit 130' INT TERM HUP
trap lab_end EXIT
mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/netns /run/lab || bail "no tmpfs on /run"
LAB=/run/lab
read -r LAB_HOSTPID _ < /dev/fd/9/self/stat
exec 9<&-
# What a vpnd without options would use is private, too.
mount -t tmpfs -o mode=755 tmpfs /var/lib || bail "no tmpfs on /var/lib"
[ ! -d /etc/tandem ] || mount -t tmpfs -o mode=755 tmpfs /etc/tandem
hostname lab
# A test that hangs ends with its logs saved: first all it started dies, then it.
(sleep "${LAB_LIMIT:-240}" && { echo "# time is up"; kill -KILL -1; kill -TERM 1; }) &
lab_watch=$!
disown
