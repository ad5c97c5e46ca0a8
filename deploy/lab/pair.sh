# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# pair.sh -- a whole site in namespaces: two gateways with corosync, keepalived, hasync
# and vpnd, two uplinks, a LAN, a heartbeat, a provider's router and clients (bash).
# Sourced first thing by the demo, the pair's tests and benchmarks; it brings
# tests/lib/lab.sh along (checks, clients, private namespaces).
#
#   cN 203.0.113.1N --- wan -+- wan1 192.0.2.0/24     2001:db8:1::/64 -+- a .11
#      2001:db8:3::1N   .1   +- wan2 198.51.100.0/24  2001:db8:2::/64 -+- b .12
#                    lan ------ lan  10.10.0.0/24     fd00:10::/64    -+  virtual
#                    .100       hb   10.99.0.0/24     (none virtual)  -+  .10 / ::10
#
# A node is a network, mount, pid, uts and ipc namespace with its own /etc, /run,
# /var/lib, /var/log and /dev/shm. Its programs are started again when they die, as
# systemd would.
#
# Site     pair_up [CONFIG]: everything, ready for clients. pair_net, node_boot NODE,
#          pair_configure [CONFIG], services_up NODE: its steps
# Nodes    in_node NODE CMD...; ctl_on NODE ARGS...; info NODE KEY.KEY; power_off NODE;
#          node_alive; active: name of the active node; other NODE
#          is_active NODE; holds NODE (all virtual addresses), holds_none; settled
# Cables   seg_cut|seg_heal NODE SEG (silent), carrier NODE SEG up|down
# Programs service_up NODE NAME, service_down NODE NAME (for good, SIGTERM),
#          service_pids NODE NAME, kill9 NODE NAME (it comes back), sig NODE SIG NAME
#          NAME: corosync keepalived hasync vpnd acmed ddnsd; vpnd_process NODE worker|keys|...: pids
# Clients  client_start, client_up, ... of lab.sh, by certificate authority;
#          clients_up N; clients_remember NS..., clients_same NS...;
#          flow_start NS..., flow_stop, flow_outage NS [SINCE]: longest gap in ms

PAIR_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -z "$LAB_INNER" ]; then
	for pair_p in corosync corosync-keygen keepalived bridge; do
		PATH=$PATH:/usr/sbin:/sbin command -v $pair_p > /dev/null || {
			[ -z "$LAB_MUST_RUN" ] || { echo "Bail out! no $pair_p"; exit 99; }
			echo "1..0 # SKIP no $pair_p: deploy/setup test"; exit 0; }
	done
fi
. "$PAIR_ROOT/tests/lib/lab.sh"

SEGS="wan1 wan2 lan hb"
NODES="a b"
SERVER=192.0.2.10

# ---- the network ------------------------------------------------------------

pair_leg() { # NS SEGMENT ADDR4 [ADDR6]
	ip link add $1-$2 type veth peer name $2 netns $1 &&
	ip link set $1-$2 addrgenmode none master br-$2 up &&
	ip -n $1 link set $2 up && ip -n $1 addr add $3 dev $2 || return 1
	[ -z "$4" ] || ip -n $1 addr add $4 dev $2 nodad
}
pair_net() {
	local n s i=11
	ip link set lo up
	for s in $SEGS; do
		ip link add br-$s type bridge stp_state 0 forward_delay 0 mcast_snooping 0 &&
		ip link set br-$s addrgenmode none up || return 1
	done
	lab_ns wan lan $NODES || return 1
	ip -n wan link add clients address 02:00:00:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 &&
	ip -n wan addr add 203.0.113.1/24 dev clients &&
	ip -n wan addr add 2001:db8:3::1/64 dev clients nodad &&
	ip -n wan link set clients up &&
	pair_leg wan wan1 192.0.2.1/24 2001:db8:1::1/64 &&
	pair_leg wan wan2 198.51.100.1/24 2001:db8:2::1/64 &&
	in_wan sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 &&
	pair_leg lan lan 10.10.0.100/24 fd00:10::100/64 &&
	# The way back to the clients is whoever holds the LAN's virtual address.
	ip -n lan route add default via 10.10.0.10 &&
	ip -n lan -6 route add default via fd00:10::10 || return 1
	in_wan nft -f - <<-'NFT' || return 1
		table inet trouble {
			chain fw { type filter hook forward priority filter
			}
		}
	NFT
	for n in $NODES; do
		pair_leg $n wan1 192.0.2.$i/24 2001:db8:1::$i/64 &&
		pair_leg $n wan2 198.51.100.$i/24 2001:db8:2::$i/64 &&
		pair_leg $n lan 10.10.0.$i/24 fd00:10::$i/64 &&
		pair_leg $n hb 10.99.0.$i/24 &&
		ip -n $n route add default via 192.0.2.1 &&
		ip -n $n -6 route add default via 2001:db8:1::1 &&
		# Answers leave by the uplink they came in on.
		ip -n $n route add default via 198.51.100.1 table 102 &&
		ip -n $n -6 route add default via 2001:db8:2::1 table 102 &&
		ip -n $n rule add from 198.51.100.0/24 table 102 pref 102 &&
		ip -n $n -6 rule add from 2001:db8:2::/64 table 102 pref 102 &&
		in_ns $n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
			net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 || return 1
		i=$((i + 1))
	done
}

# ---- the nodes --------------------------------------------------------------

# Its init reaps orphans: keepalived's pid file check depends on it. "Ready" is
# written last by the init itself: all else may be there from outside. The disk is
# $LAB/disk.NODE and survives a power cut; addresses and rules do not.
node_boot() { # NODE
	local outer c t s disk=$LAB/disk.$1
	[ -d "$disk" ] || {
		mkdir -p "$disk/lib/tandem" "$disk/lib/corosync" && cp -a /etc "$disk" || return 1
		mkdir -p "$disk/etc/corosync/uidgid.d" "$disk/etc/keepalived" "$disk/etc/tandem"
		rm -f "$disk"/etc/corosync/* "$disk"/etc/keepalived/* 2> /dev/null
	}
	for s in $SEGS; do ip link set $1-$s up; done
	in_ns $1 nft flush ruleset
	pair_bare $1
	ip netns exec $1 unshare --mount --propagation private --pid --uts --ipc --fork \
		--kill-child --mount-proc sh -c '
		hostname '$1'
		mount --bind '"$disk"'/etc /etc && mount --bind '"$disk"'/lib /var/lib &&
		for d in "mode=755 /run" "mode=1777 /dev/shm" "mode=755 /var/log"; do
			mount -t tmpfs -o ${d% *} tmpfs ${d#* } || exit 1; done
		mkdir -p /var/log/corosync /run/tandem
		: > /run/ready
		while :; do sleep 1; done' < /dev/null > /dev/null 2>> "$LAB/$1.init.log" &
	outer=$!
	disown
	for t in $(seq 500); do
		c=$(cat /proc/$outer/task/$outer/children 2> /dev/null); c=${c%% *}
		[ -n "$c" ] && [ -e /proc/$c/root/run/ready ] && { echo $c > "$LAB/$1.init"; return 0; }
		sleep 0.02
	done
	return 1
}
# A machine that boots has no virtual addresses.
pair_bare() { # NODE
	local v
	for v in wan1:192.0.2.10/24 wan2:198.51.100.10/24 lan:10.10.0.10/24 \
		wan1:2001:db8:1::10/64 wan2:2001:db8:2::10/64 lan:fd00:10::10/64; do
		ip -n $1 addr del ${v#*:} dev ${v%%:*} 2> /dev/null
	done
	return 0
}
node_alive() { [ -e "$LAB/$1.init" ] && [ -d /proc/$(cat "$LAB/$1.init")/root/run ]; }
in_node() { local n=$1; shift; nsenter -t $(cat "$LAB/$n.init") -m -p -n -u -i "$@"; }
ctl_on() { local n=$1; shift; in_node $n timeout 12 "$TANDEM_BIN/vpnctl" "$@"; }
other() { [ $1 = a ] && echo b || echo a; }
power_off() { # every cable and every process at once
	local s
	for s in $SEGS; do echo "link set $1-$s down"; done | ip -b - && kill -9 $(cat "$LAB/$1.init")
	pair_bare $1
}
seg_cut() { bridge link set dev $1-$2 state 0; }
# A port just brought up is put into forwarding a moment later: not right after carrier.
seg_heal() { bridge link set dev $1-$2 state 3; }
carrier() { ip link set $1-$2 $3; }

# ---- configuration ----------------------------------------------------------

# The same file on both; the certificates differ and come from one authority.
PAIR_CONFIG='server {
	workers = 2
	hostname = "vpn.example"
	certificate = "/etc/tandem/cert.pem"
	key = "/etc/tandem/key.pem"
}'
pair_certificates() {
	local n
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj /CN=lab-ca -keyout "$LAB/ca.key" -out "$LAB/ca.pem" 2> /dev/null || return 1
	for n in $NODES; do
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$n.example \
			-keyout "$LAB/$n.key" -out "$LAB/$n.csr" 2> /dev/null &&
		openssl x509 -req -in "$LAB/$n.csr" -CA "$LAB/ca.pem" -CAkey "$LAB/ca.key" \
			-set_serial 0x$RANDOM -days 30 -out "$LAB/$n.pem" -extfile <(echo \
			"subjectAltName=DNS:vpn.example,DNS:vpn1.example,DNS:vpn2.example,IP:192.0.2.10,IP:198.51.100.10,IP:2001:db8:1::10,IP:2001:db8:2::10") \
			2> /dev/null &&
		in_node $n sh -c 'cat > /etc/tandem/cert.pem' < "$LAB/$n.pem" &&
		in_node $n sh -c 'umask 77; cat > /etc/tandem/key.pem' < "$LAB/$n.key" || return 1
	done
}
PAIR_ANSWERS=(--primary a --spare b
	--wan 'wan1 interface=wan1 address=192.0.2.11,192.0.2.12 virtual=192.0.2.10/24,2001:db8:1::10/64 gateway=192.0.2.1'
	--wan 'wan2 interface=wan2 address=198.51.100.11,198.51.100.12 virtual=198.51.100.10/24,2001:db8:2::10/64 gateway=198.51.100.1'
	--lan 'lan interface=lan address=10.10.0.11,10.10.0.12 virtual=10.10.0.10/24,fd00:10::10/64'
	--heartbeat 10.99.0.11,10.99.0.12)
pair_configure() { # [CONFIG]
	local n
	PAIR_STRING=$(ctl_on a node setup -q "${PAIR_ANSWERS[@]}") &&
	ctl_on b node join -q "$PAIR_STRING" && pair_certificates || return 1
	for n in $NODES; do
		echo "${1-$PAIR_CONFIG}" | in_node $n sh -c 'cat > /etc/tandem/tandem.conf' || return 1
	done
}

# ---- programs ---------------------------------------------------------------

# As their units, also in what the scheduler gives them where that may be set.
PAIR_RT="chrt -r 50"; $PAIR_RT true 2> /dev/null || PAIR_RT=
service_command() { # NAME
	case $1 in
	corosync) echo "corosync -f" ;;
	keepalived) echo "$PAIR_RT keepalived -P -G -D -l -n" ;;
	hasync) echo "$TANDEM_BIN/hasync $HASYNC_OPTIONS" ;;
	vpnd) echo "$TANDEM_BIN/vpnd $VPND_OPTIONS" ;;
	acmed) echo "$TANDEM_BIN/acmed $ACMED_OPTIONS" ;;
	ddnsd) echo "$TANDEM_BIN/ddnsd $DDNSD_OPTIONS" ;;
	esac
}
# Restart=always; RestartSec as in the unit files.
service_up() { # NODE NAME
	local wait=0.1
	[ $2 != vpnd ] || wait=0.5
	in_node $1 sh -c 'rm -f /run/'$2'.stop; while [ ! -e /run/'$2'.stop ]; do
			'"$(service_command $2)"' & echo $! > /run/'$2'.main; wait $!; sleep '$wait'
		done' < /dev/null >> "$LAB/$1.$2.log" 2>&1 &
	disown
}
# vpnd's children are called vpnd-NAME.
service_pids() { in_node $1 pgrep -x "$2(-.*)?"; }
service_gone() { ! service_pids $1 $2; }
service_down() { # NODE NAME: for good
	in_node $1 sh -c ': > /run/'$2'.stop; kill -TERM $(cat /run/'$2'.main)' 2> /dev/null
	within 5 service_gone $1 $2
}
service_kill() { # NODE NAME: -9 and for good
	in_node $1 sh -c ': > /run/'$2'.stop; pkill -9 -x "'$2'(-.*)?"' 2> /dev/null
	within 3 service_gone $1 $2
}
kill9() { in_node $1 pkill -9 -x "$2(-.*)?"; }
sig() { in_node $1 pkill -$2 -x "$3(-.*)?"; }
# Pids inside the node of a process of vpnd, or of its parent.
vpnd_process() { # NODE parent|worker|keys|...
	if [ $2 = parent ]; then in_node $1 pgrep -x vpnd; else in_node $1 pgrep "^vpnd-$2"; fi
}
# hasync makes the FIFO before keepalived starts.
services_up() { # NODE
	service_up $1 corosync; service_up $1 hasync; service_up $1 vpnd
	within 10 in_node $1 test -S /run/tandem/hasync.sock && service_up $1 keepalived
}

# ---- what is so -------------------------------------------------------------

info() { # NODE PATH: of `vpnctl nodes`, as self.role
	ctl_on $1 -j nodes 2> /dev/null | jq -r ".$2"
}
holds() { [ "$(ip -n $1 -br -4 addr | grep -c '\.10/24')$(ip -n $1 -br -6 addr | grep -c '::10/64')" = 33 ]; }
holds_none() { [ "$(ip -n $1 -br -4 addr | grep -c '\.10/24')$(ip -n $1 -br -6 addr | grep -c '::10/64')" = 00 ]; }
is_active() { holds $1 && [ "$(info $1 self.role)" = active ]; }
active() { local n; for n in $NODES; do node_alive $n && holds $n && { echo $n; return 0; }; done; return 1; }
# One node has everything, the other nothing, they see each other, both vpnd are well.
settled() {
	local n
	n=$(active) && holds_none $(other $n) &&
	[ "$(info $n '| .self.role, .self.vpnd, .peer.role, .peer.vpnd, .synced' | tr '\n' ' ')" = \
		"active ok standby ok true " ]
}
serves() { ctl_on $1 status > /dev/null 2>&1 && [ -n "$(in_ns $1 ss -Hltn "sport = :443")" ]; }

pair_up() { # [CONFIG]
	pair_net && node_boot a && node_boot b && pair_configure "$@" &&
		services_up a && services_up b &&
		within 20 serves a && within 20 serves b && within 20 settled
}
pair_logs() { # into $LAB, where lab.sh finds them
	local n
	for n in $NODES; do
		node_alive $n || continue
		in_node $n cat /var/log/corosync/corosync.log > "$LAB/$n.corosync.log"
		(ctl_on $n nodes; ctl_on $n events --last 100; in_node $n ip -br addr
			in_node $n nft list ruleset; in_node $n ss -lntup) > "$LAB/$n.state.txt"
	done 2>&1 > /dev/null
}
trap 'pair_rc=$?; [ $lab_bad = 0 ] && [ $pair_rc = 0 ] || pair_logs 2> /dev/null; (exit $pair_rc); lab_end' EXIT
in_gateway() { in_node a "$@"; }
ctl() { ctl_on "$(active || echo a)" "$@"; }

# ---- clients ----------------------------------------------------------------

# As lab.sh's, but it trusts the authority: the two nodes have two certificates.
client_start() { # USER[@NS] [openconnect options]
	local user=$1 ns=c1; shift
	[[ $user == *@c[0-9]* ]] && { ns=${user##*@}; user=${user%@*}; }
	client_net ${ns#c} || return 1
	rm -f "$LAB/$ns".env* "$LAB/$ns".up "$LAB/$ns".reasons
	LAB=$LAB LAB_CLIENT=$ns ip netns exec $ns timeout -k 5 ${CLIENT_LIMIT:-300} openconnect \
		--protocol=anyconnect -v --timestamp --cafile "$LAB/ca.pem" --no-system-trust \
		--non-inter --passwd-on-stdin -u "$user" -i vpn0 -s "$PAIR_ROOT/tests/lib/vpnc-lab" \
		--reconnect-timeout 60 "$@" "https://$SERVER:$PORT" \
		<<< "${PASSWORD-${lab_password[$user]}}" > "$LAB/$ns.log" 2>&1 &
	lab_client[$ns]=$!
	CLIENT_NS=$ns
}
# A user that both nodes know.
user_add() { # NAME PASSWORD
	lab_password[$1]=$2
	printf '%s\n' "$2" | ctl_on "$(active)" user add "$1" --password-stdin > /dev/null
}
# How often a password was typed, and the process is still the first one.
client_logins() { client_log_count 'POST https:.*' ${1:-c1}; }

# The address the client's tunnel has now, not the one it got at first.
inner_now() { ip -n $1 -br -4 addr show vpn0 2> /dev/null | awk '{ sub("/.*", "", $3); print $3 }'; }
clients_up() { # N: users user1@c1 ...; all start at once
	local i
	for i in $(seq $1); do
		[ -n "${lab_password[user$i]}" ] || user_add user$i "horse $i" || return 1
	done
	for i in $(seq $1); do client_start user$i@c$i; done
	for i in $(seq $1); do
		within 30 client_is_up c$i || { echo "c$i is not up"; tail -n 5 "$LAB/c$i.log"; return 1; }
	done
}
# What must not change: the process, the number of logins, the inner address.
declare -A pair_posts pair_addr pair_oc
clients_remember() { # NS...
	local n
	for n; do
		pair_posts[$n]=$(client_logins $n) pair_addr[$n]=$(inner_now $n) pair_oc[$n]=$(client_oc $n)
	done
}
relogged() { [ "$(client_logins $1)" != "${pair_posts[$1]}" ] || [ "$(client_oc $1)" != "${pair_oc[$1]}" ]; }
readdressed() { [ "$(inner_now $1)" != "${pair_addr[$1]}" ]; }
clients_same() { # NS...
	local n bad=0
	for n; do
		! relogged $n || { echo "$n logged in again or ended"; bad=1; }
		! readdressed $n || { echo "$n had ${pair_addr[$n]}, has $(inner_now $n)"; bad=1; }
	done
	return $bad
}

# Traffic through the tunnels: 20 echo requests a second each.
flow_start() { # NS...
	local n
	FLOW_END=
	for n; do
		bg_ns $n ping -n -D -i 0.05 -W 1 10.10.0.100 > "$LAB/$n.flow" 2>&1
		pair_flow[${n#c}]=$BG
		disown
	done
}
flow_stop() {
	FLOW_END=$EPOCHREALTIME
	kill -INT "${pair_flow[@]}" 2> /dev/null
	pair_flow=()
	sleep 0.1
}
pair_flow=()
# The longest time without an answer since the start or since T (seconds.us), in ms.
# A flow that has not come back is out until now.
flow_outage() { # NS [T]
	(sed -n 's/^\[\([0-9.]*\)\].*bytes from.*/\1/p' "$LAB/$1.flow"
		echo ${FLOW_END:-$EPOCHREALTIME}) |
		awk -v t=${2:-0} '$1 < t { p = $1; next } { if (p && $1 - p > m) m = $1 - p; p = $1 }
			END { printf "%d\n", m * 1000 + 0.5 }'
}
flow_last() { # NS: seconds since the last answer, in ms
	sed -n 's/^\[\([0-9.]*\)\].*bytes from.*/\1/p' "$LAB/$1.flow" | tail -n 1 |
		awk -v now=$EPOCHREALTIME '{ printf "%d\n", (now - $1) * 1000 }'
}
flows() { # NS...: all of them have had an answer within the last 200 ms
	local n
	for n; do [ "$(flow_last $n)" -lt 200 ] || return 1; done
}
