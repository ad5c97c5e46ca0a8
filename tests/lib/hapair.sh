# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# hapair.sh -- two nodes with the real corosync (and keepalived) and our hasync, for
# tests of the store and of the roles (bash). No vpnd, no clients.
#
# Sourced first thing by a test, which it re-executes in namespaces of its own with a
# fresh tmpfs on /run: whatever happens, the kernel cleans up.
#
#   a .11, b .12, router .1      wan1 192.0.2.0/24 2001:db8:1::/64, wan2 198.51.100.0/24,
#                                lan 10.10.0.0/24 (router too), hb 10.99.0.0/24
#
# Checks   plan N; ok NAME CMD...; is NAME GOT WANT; like NAME GOT RE; note TEXT
#          within SECONDS CMD...
# Nodes    in_node a|b CMD...; node_ip; cut/heal NODE SEG (silent); carrier NODE SEG up|down
#          power_off NODE; node_pid NODE FILE
# Programs coro_up NODE; coro_pid NODE; ha_up NODE; ha_down NODE; ha_pid NODE; h NODE ARGS
#          (tests/lib/hactl); ha_conf NODE [EXTRA LINES]; ha_log_has NODE RE; synced NODE
#          ka_conf NODE; ka_up NODE; holds NODE N (virtual addresses of each family)
#          vpnd_up NODE (a life line that beats), vpnd_sig NODE SIGNAL
# Roles    active NODE OTHER: it has everything and says so, and the other neither;
#          stays NODE OTHER [MS]: nothing moves for so long; recovered: all is well on both,
#          and they know it of each other; role, is_role, epoch, track FILE

HP_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HP_NAME=$(basename "$0" .t)
PATH=$PATH:/usr/sbin:/sbin

hp_skip() {
	[ -z "$LAB_MUST_RUN" ] || { echo "Bail out! $1"; exit 99; }
	echo "1..0 # SKIP $1"; exit 0
}

if [ -z "$HP_INNER" ]; then
	[ "$(id -u)" = 0 ] || hp_skip "needs root"
	unshare -mpnui --fork --kill-child --mount-proc true 2> /dev/null ||
		hp_skip "cannot make namespaces"
	for hp_p in corosync corosync-keygen keepalived bridge nsenter python3 ip; do
		command -v $hp_p > /dev/null || hp_skip "no $hp_p: deploy/setup test"
	done
	hp_b=${TANDEM_BIN:-$HP_ROOT/build/release/bin}
	export HP_INNER=1 TANDEM_BIN=$(cd "$hp_b" 2> /dev/null && pwd || echo "$hp_b")
	exec unshare --mount --propagation private --pid --net --uts --ipc --fork \
		--kill-child --mount-proc "$0" "$@"
fi

hp_n=0 hp_bad=0 hp_plan=
plan() { hp_plan=$1; echo "1..$1"; }
note() { echo "# $*"; }
hp_result() { # 0|other NAME
	hp_n=$((hp_n + 1))
	[ "$1" = 0 ] && { echo "ok $hp_n - $2"; return 0; }
	hp_bad=$((hp_bad + 1)); echo "not ok $hp_n - $2"
	note "at ${BASH_SOURCE[2]##*/}:${BASH_LINENO[1]}"; return 1
}
ok() {
	local name=$1 rc; shift
	"$@" > $LAB/out 2>&1 < /dev/null; rc=$?
	hp_result $rc "$name" || { note "failed ($rc): $*"; sed 's/^/# /' $LAB/out | tail -5; }
}
is() { [ "$2" = "$3" ]; hp_result $? "$1" || note "got \"$2\", want \"$3\""; }
like() { [[ $2 =~ $3 ]]; hp_result $? "$1" || note "got \"$2\", want /$3/"; }
ms() { echo $(($(date +%s%N) / 1000000)); }
within() { # SECONDS CMD...
	local from=$(ms) end; end=$((from + ${1%.*} * 1000)); shift
	until "$@" > /dev/null 2>&1; do
		[ $(ms) -gt $end ] && { echo "not within time: $*"; return 1; }
		sleep 0.03
	done
	note "$* after $(($(ms) - from)) ms" >&3
}
hp_done() {
	local rc=$?
	if [ "$hp_n" != "$hp_plan" ]; then
		note "planned $hp_plan, ran $hp_n"; hp_bad=$((hp_bad + 1))
	fi
	if [ $hp_bad != 0 ] || [ $rc != 0 ]; then
		rm -rf "$HP_ROOT/build/test-logs/$HP_NAME"
		mkdir -p "$HP_ROOT/build/test-logs/$HP_NAME"
		for n in a b; do
			cp $LAB/$n.hasync.log "$HP_ROOT/build/test-logs/$HP_NAME/" 2> /dev/null
			in_node $n cat /var/log/corosync/corosync.log \
				> "$HP_ROOT/build/test-logs/$HP_NAME/$n.corosync.log" 2> /dev/null
			cp $LAB/$n.keepalived.log "$HP_ROOT/build/test-logs/$HP_NAME/" 2> /dev/null
		done
		note "logs: build/test-logs/$HP_NAME"
	fi
	note "took $(($(ms) - hp_t0)) ms"
	[ $rc != 0 ] && exit $rc
	exit $((hp_bad != 0))
}

exec 3>&1
hp_t0=$(ms)
mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/netns &&
	mount -t tmpfs -o mode=755 tmpfs /mnt || exit 99
LAB=/mnt # not below /run: the nodes see it too
trap hp_done EXIT

SEGS="wan1 wan2 lan hb"
hp_leg() { # NS SEGMENT IF4 IF6
	ip link add $1-$2 type veth peer name $2 netns $1
	ip link set $1-$2 addrgenmode none master br-$2 up
	ip -n $1 link set $2 up
	ip -n $1 addr add $3 dev $2
	[ -z "$4" ] || ip -n $1 addr add $4 dev $2 nodad
}
hp_net() {
	local n s i=11
	ip link set lo up
	for s in $SEGS; do
		ip link add br-$s type bridge stp_state 0 forward_delay 0 mcast_snooping 0
		ip link set br-$s addrgenmode none up
	done
	for n in inet a b; do
		ip netns add $n && ip -n $n link set lo up || return 1
		ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0 \
			net.ipv6.conf.default.dad_transmits=0 net.ipv6.conf.all.accept_dad=0
	done
	for n in a b; do
		hp_leg $n wan1 192.0.2.$i/24 2001:db8:1::$i/64
		hp_leg $n wan2 198.51.100.$i/24 2001:db8:2::$i/64
		hp_leg $n lan 10.10.0.$i/24 fd00:10::$i/64
		hp_leg $n hb 10.99.0.$i/24
		i=$((i + 1))
	done
	hp_leg inet wan1 192.0.2.1/24 2001:db8:1::1/64
	hp_leg inet wan2 198.51.100.1/24 2001:db8:2::1/64
	hp_leg inet lan 10.10.0.1/24
}
# The machine. Its init reaps orphans: keepalived's pid file check depends on it.
node_up() {
	local outer c t
	ip netns exec $1 unshare --mount --propagation private --pid --uts --ipc --fork \
		--kill-child --mount-proc sh -c '
		hostname '$1'
		for d in "mode=755 /run" "mode=1777 /dev/shm" \
			"mode=755 /var/lib/corosync" "mode=755 /var/log" "mode=755 /etc/corosync" \
			"mode=755 /etc/keepalived"; do
			mount -t tmpfs -o ${d% *} tmpfs ${d#* }; done
		mkdir -p /var/log/corosync /etc/corosync/uidgid.d /run/tandem; : > /run/ready
		while :; do sleep 1; done' < /dev/null > /dev/null 2>&1 &
	outer=$!
	disown
	for t in $(seq 250); do
		c=$(cat /proc/$outer/task/$outer/children 2> /dev/null); c=${c%% *}
		[ -n "$c" ] && [ -e /proc/$c/root/run/ready ] && {
			echo $c > $LAB/$1.init; mkdir -p $LAB/state.$1; return 0; }
		sleep 0.02
	done
	return 1
}
in_node() { local n=$1; shift; nsenter -t $(cat $LAB/$n.init) -m -p -n -u -i "$@"; }
cut() { bridge link set dev $1-$2 state 0; }
heal() { bridge link set dev $1-$2 state 3; }
carrier() { ip link set $1-$2 $3; }
power_off() { local s; for s in $SEGS; do ip link set $1-$s down; done; kill -9 $(cat $LAB/$1.init); }

coro_conf() {
	in_node $1 sh -c 'cat > /etc/corosync/authkey && chmod 400 /etc/corosync/authkey' < $LAB/authkey
	in_node $1 sh -c 'cat > /etc/corosync/corosync.conf' <<-END
	totem {
	  version: 2
	  cluster_name: vpnpair
	  transport: knet
	  link_mode: active
	  crypto_cipher: aes256
	  crypto_hash: sha256
	  keyfile: /etc/corosync/authkey
	  token: 1000
	  consensus: 200
	  seqno_unchanged_const: 3
	  interface {
	    linknumber: 0
	    knet_ping_interval: 200
	    knet_ping_timeout: 800
	  }
	  interface {
	    linknumber: 1
	    knet_ping_interval: 200
	    knet_ping_timeout: 800
	  }
	}
	nodelist {
	  node {
	    nodeid: 1
	    name: a
	    ring0_addr: 10.99.0.11
	    ring1_addr: 10.10.0.11
	  }
	  node {
	    nodeid: 2
	    name: b
	    ring0_addr: 10.99.0.12
	    ring1_addr: 10.10.0.12
	  }
	}
	quorum {
	  provider: corosync_votequorum
	  two_node: 1
	  wait_for_all: 0
	}
	logging {
	  to_stderr: no
	  to_syslog: no
	  to_logfile: yes
	  logfile: /var/log/corosync/corosync.log
	  timestamp: hires
	}
	END
}
coro_up() { in_node $1 corosync; }
coro_pid() { in_node $1 cat /run/corosync.pid; }
# Signals go from inside: pids are the node's own.
sig() { local n=$1; shift; in_node $n kill "$@"; }

PAIR_ID=00112233445566778899aabbccddeeff
ha_conf() { # NODE [EXTRA]
	local role=primary peer=b
	[ $1 = a ] || { role=spare; peer=a; }
	cat > $LAB/$1.conf <<-END
	node = "$1"
	role = "$role"
	peer = "$peer"
	pair_id = "$PAIR_ID"
	pair_key = "$LAB/pair.key"
	$2
	END
}
ha_up() { # NODE: its pid inside the node is in $LAB/NODE.pid
	rm -f $LAB/$1.pid
	in_node $1 sh -c "echo \$\$ > $LAB/$1.pid; exec $HA_ENV $TANDEM_BIN/hasync -d -f $LAB/$1.conf \
		-s $LAB/state.$1 -r /run/tandem >> $LAB/$1.hasync.log 2>&1" < /dev/null 3>&- 2> /dev/null &
	disown
	within 5 test -s $LAB/$1.pid 3> /dev/null
	within 5 in_node $1 test -S /run/tandem/hasync.sock 3> /dev/null
	within 5 h $1 list 3> /dev/null || { echo "Bail out! no hasync on $1"; exit 99; }
}
ha_pid() { cat $LAB/$1.pid; }
ha_kill9() { sig $1 -9 $(ha_pid $1); in_node $1 rm -f /run/tandem/hasync.sock; } 2> /dev/null
ha_down() { sig $1 -TERM $(ha_pid $1); within 3 eval "! in_node $1 test -d /proc/$(ha_pid $1)" 3> /dev/null; }
h() { local n=$1; shift; in_node $n /usr/bin/python3 -S $HP_ROOT/tests/lib/hactl /run/tandem/hasync.sock "$@"; }
info() { h $1 info | /usr/bin/python3 -Sc 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1], {"d": d}))' "$2"; }
synced() { [ "$(info $1 'd["synced"] and d["peers"]')" = 1 ]; }
alone() { [ "$(info $1 'd["peers"]')" = 0 ]; }
same() { [ "$(h a list "$1" | grep -vE '^(node|counts|endpoints|revoked|bans)' | sort)" = \
	"$(h b list "$1" | grep -vE '^(node|counts|endpoints|revoked|bans)' | sort)" ]; }
ha_log_has() { grep -qE "$2" $LAB/$1.hasync.log; }

corosync-keygen -l -s 128 -k $LAB/authkey > /dev/null
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > $LAB/pair.key
hp_net && node_up a && node_up b || { echo "Bail out! no lab"; exit 99; }
for n in a b; do coro_conf $n; ha_conf $n; done

# ---- keepalived ----

ka_conf() { # NODE
	local n=$1 own=11 other=12 prio=201 seg net v6 id=51
	[ $n = a ] || { own=12; other=11; prio=200; }
	{
		cat <<-END
		global_defs {
		  router_id $n
		  vrrp_version 3
		  vrrp_garp_master_delay 1
		  vrrp_garp_master_repeat 3
		  vrrp_garp_master_refresh 10
		  vrrp_skip_check_adv_addr
		  enable_script_security
		  script_user root
		  vrrp_notify_fifo /run/tandem/vrrp.fifo
		  fifo_write_vrrp_states_on_reload
		}
		vrrp_track_file role {
		  file "/run/tandem/role"
		  weight 1
		}
		vrrp_track_file vpnd {
		  file "/run/tandem/vpnd.bad"
		  weight -100
		}
		vrrp_track_file hold {
		  file "/run/tandem/hold"
		  weight 0
		}
		vrrp_sync_group VG {
		  group {
		    wan1
		    wan2
		    lan
		  }
		  sync_group_tracking_weight
		  track_file {
		    role
		    vpnd
		    hold
		  }
		  track_interface {
		    wan1 weight -60
		    wan2 weight -60
		    lan weight -60
		  }
		}
		END
		for seg in wan1:192.0.2:2001:db8:1 wan2:198.51.100:2001:db8:2 lan:10.10.0:fd00:10; do
			v6=${seg#*:*:} net=${seg#*:} net=${net%%:*} seg=${seg%%:*}
			cat <<-END
			vrrp_instance $seg {
			  state BACKUP
			  interface $seg
			  dont_track_primary
			  virtual_router_id $id
			  priority $prio
			  advert_int 0.1
			  unicast_src_ip $net.$own
			  unicast_peer {
			    $net.$other
			  }
			  virtual_ipaddress {
			    $net.10/24 dev $seg
			  }
			  virtual_ipaddress_excluded {
			    $v6::10/64 dev $seg
			  }
			}
			END
			id=$((id + 1))
		done
	} | in_node $n sh -c 'cat > /etc/keepalived/keepalived.conf'
}
HA_ROLES='keepalived {
	fifo = "/run/tandem/vrrp.fifo"
	pid_file = "/run/keepalived.pid"
	track = "/run/tandem"
	group = "VG"
}
link "wan1" {
	interface = "wan1"
	gateway = { "192.0.2.1" }
	address = { "192.0.2.10/24", "2001:db8:1::10/64" }
}
link "wan2" {
	interface = "wan2"
	gateway = { "198.51.100.1", "2001:db8:2::1" }
	address = { "198.51.100.10/24", "2001:db8:2::10/64" }
}
link "lan" {
	interface = "lan"
	wan = false
	address = { "10.10.0.10/24", "fd00:10::10/64" }
}'
HP_RT="chrt -r 50"; $HP_RT true 2> /dev/null || HP_RT=
ka_up() { # scheduled as by its unit
	in_node $1 sh -c "exec $HP_RT keepalived -P -G -D -l -n >> $LAB/$1.keepalived.log 2>&1" < /dev/null 3>&- 2> /dev/null &
	disown
}
ka_pids() { in_node $1 pidof keepalived; }
holds() { [ "$(ip -n $1 -br -4 addr | grep -c '\.10/24')$(ip -n $1 -br -6 addr | grep -c '::10/64')" = $2$2 ]; }
epoch() { info $1 'd["self"]["epoch"]'; }
role() { info $1 'd["self"]["role"]'; }
track() { in_node $1 cat /run/tandem/$2; }
vpnd_up() { # NODE: the parent's life line, beating
	in_node $1 sh -c "echo \$\$ > $LAB/$1.vpnd; exec /usr/bin/python3 -S \
		$HP_ROOT/tests/lib/hactl /run/tandem/hasync.sock vpnd beat" < /dev/null > /dev/null 2>&1 3>&- &
	disown
}
vpnd_sig() { sig $1 $2 $(cat $LAB/$1.vpnd); }
is_role() { [ "$(role $1)" = $2 ]; }
active() { holds $1 3 && is_role $1 active && is_role $2 standby && holds $2 0; }
stays() {
	local end=$(($(ms) + ${3:-1200}))
	while [ $(ms) -lt $end ]; do holds $1 3 && holds $2 0 || return 1; sleep 0.05; done
}
gateways() { [ "$(info $1 'd["self"]["gateways_ok"]')" = $2 ]; }
# What a node knows of itself after a trouble, and what the peer knows of it.
recovered() {
	local n
	for n in a b; do
		[ "$(info $n '[d[x].get(k) for x in ("self", "peer") for k in ("gateways_ok", "hold", "vpnd")]')" = \
			"[2, False, 'ok', 2, False, 'ok']" ] || return 1
	done
}
