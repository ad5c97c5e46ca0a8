# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# dns.sh -- real name servers for a test, and ddnsd beside them. After lab.sh or pair.sh.
#
# Both servers live in the namespace `wan`: knot at 192.0.2.1 port 53, bind9 at port
# 5301 of the same address, each with its own copy of the zone vpn.test, in which the
# key ddns-key may change everything under dyn.vpn.test. The key other-key may change
# nothing, wide-key (SHA-512) everything.
#
# Servers   knot_up, bind_up; knot_down, bind_down; DNS_PORT (53 or 5301) says whom
#           the following ask: zone_get NAME TYPE, zone_is NAME TYPE WANT,
#           zone_ttl NAME TYPE, zone_serial (grows by one with each update),
#           zone_set NAME TTL TYPE DATA, zone_del NAME TYPE (by nsupdate: somebody else)
# ddnsd     ddns_up CONFIG [NODECONFIG]: hasync and ddnsd in `gw`; ddns_config CONFIG:
#           another configuration; ddns_down; secret_set NAME VALUE; ddns_log RE;
#           ddns_state WAN [TYPE]; ddns_error WAN [TYPE]; store_get OBJECT;
#           ddns_event NAME [RE]: how many such lines the log has

DNS_ADDR=192.0.2.1
DNS_PORT=53
DNS_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
DNS_OTHER=b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMDE=
DNS_WIDE=d2lkZXdpZGV3aWRld2lkZXdpZGV3aWRld2lkZXdpZGV3aWRld2lkZXdpZGV3aWRlMDEyMzQ1Njc=
DNS_KEY=hmac-sha256:ddns-key:$DNS_SECRET

dns_zone() {
	cat <<-'ZONE'
		$ORIGIN vpn.test.
		$TTL 30
		@     SOA ns1 hostmaster 1 3600 600 86400 5
		@     NS  ns1
		ns1   A   192.0.2.1
		alias.dyn CNAME ns1
	ZONE
}
knot_up() { # [COMMAND before knotd, as faketime]
	mkdir -p "$LAB/knot/run" "$LAB/knot/db" "$LAB/knot/zones"
	dns_zone > "$LAB/knot/zones/vpn.test.zone"
	cat > "$LAB/knot/knot.conf" <<-CONF
		server:
		    rundir: "$LAB/knot/run"
		    listen: 192.0.2.1@53
		    listen: 2001:db8:1::1@53
		    udp-workers: 1
		    tcp-workers: 1
		    background-workers: 1
		database:
		    storage: "$LAB/knot/db"
		log:
		  - target: stderr
		    any: info
		key:
		  - id: ddns-key
		    algorithm: hmac-sha256
		    secret: $DNS_SECRET
		  - id: other-key
		    algorithm: hmac-sha256
		    secret: $DNS_OTHER
		  - id: wide-key
		    algorithm: hmac-sha512
		    secret: $DNS_WIDE
		acl:
		  - id: ddns-acl
		    key: ddns-key
		    action: update
		    update-type: [A, AAAA, TXT]
		    update-owner: name
		    update-owner-match: sub-or-equal
		    update-owner-name: [dyn.vpn.test.]
		  - id: wide-acl
		    key: wide-key
		    action: update
		zone:
		  - domain: vpn.test
		    storage: "$LAB/knot/zones"
		    file: vpn.test.zone
		    zonefile-sync: -1
		    zonefile-load: difference
		    journal-content: all
		    acl: [ddns-acl, wide-acl]
	CONF
	bg_ns wan "$@" knotd -c "$LAB/knot/knot.conf" >> "$LAB/knot.log" 2>&1
	KNOT_PID=$BG
	within 10 dns_answers 53
}
bind_up() { # [COMMAND before named]
	mkdir -p "$LAB/bind"
	[ -e "$LAB/bind/vpn.test.db" ] || dns_zone > "$LAB/bind/vpn.test.db"
	cat > "$LAB/bind/named.conf" <<-CONF
		options { directory "$LAB/bind"; pid-file "$LAB/bind/named.pid";
		  session-keyfile "$LAB/bind/session.key"; managed-keys-directory "$LAB/bind";
		  listen-on port 5301 { 192.0.2.1; }; listen-on-v6 { none; }; recursion no;
		  dnssec-validation no; notify no; empty-zones-enable no; };
		controls { };
		key "ddns-key" { algorithm hmac-sha256; secret "$DNS_SECRET"; };
		key "other-key" { algorithm hmac-sha256; secret "$DNS_OTHER"; };
		key "wide-key" { algorithm hmac-sha512; secret "$DNS_WIDE"; };
		zone "vpn.test" { type primary; file "vpn.test.db"; journal "vpn.test.jnl";
		  update-policy { grant ddns-key subdomain dyn.vpn.test. A AAAA TXT;
		    grant wide-key zonesub ANY; }; };
	CONF
	bg_ns wan "$@" named -4 -c "$LAB/bind/named.conf" -g -n 1 >> "$LAB/bind.log" 2>&1
	BIND_PID=$BG
	within 10 dns_answers 5301
}
dns_answers() { in_wan dig +tries=1 +time=1 @$DNS_ADDR -p $1 vpn.test SOA | grep -q 'status: NOERROR'; }
dns_gone() { ! kill -0 $1 2> /dev/null; }
knot_down() { kill $KNOT_PID && within 5 dns_gone $KNOT_PID; }
bind_down() { kill $BIND_PID && within 5 dns_gone $BIND_PID; }

zone_get() { in_wan dig +short +tries=1 +time=1 @$DNS_ADDR -p $DNS_PORT "$1" $2 | sort | tr '\n' ' ' | sed 's/ $//'; }
zone_is() { [ "$(zone_get "$1" $2)" = "$3" ]; }
zone_ttl() { in_wan dig +noall +answer +tries=1 +time=1 @$DNS_ADDR -p $DNS_PORT "$1" $2 | awk 'NR == 1 { print $2 }'; }
zone_serial() { in_wan dig +short +tries=1 +time=1 @$DNS_ADDR -p $DNS_PORT vpn.test SOA | cut -d' ' -f3; }
zone_update() { # LINES for nsupdate
	printf 'server %s %s\nzone vpn.test\n%s\nsend\n' $DNS_ADDR $DNS_PORT "$1" |
		in_wan timeout 5 nsupdate -y $DNS_KEY
}
zone_set() { zone_update "update delete $1. $3
update add $1. $2 $3 $4"; }
zone_del() { zone_update "update delete $1. $2"; }

# ---- ddnsd ------------------------------------------------------------------

ddns_ctl() { timeout 30 "$TANDEM_BIN/vpnctl" -S "$LAB/run/vpnd.sock" "$@"; }
secret_set() { printf '%s\n' "$2" | ddns_ctl secret set "$1" --key "$LAB/pair.key" > /dev/null; }
ddns_write() { # CONFIG [NODECONFIG]: as vpnd tells what it runs
	mkdir -p "$LAB/state/running"
	chmod 755 "$LAB" "$LAB/state" "$LAB/state/running"
	[ -z "$2" ] || echo "$2" > "$LAB/state/running/node.conf"
	echo "$1" > "$LAB/state/running/new" && mv "$LAB/state/running/new" "$LAB/state/running/tandem.conf"
}
ddns_config() { ddns_write "$@"; }
ddns_start() { # [COMMAND before ddnsd]
	bg_ns gw "$@" "$TANDEM_BIN/ddnsd" -s "$LAB/state" -r "$LAB/run" --pair-key "$LAB/pair.key" -d >> "$LAB/ddnsd.log" 2>&1
	DDNS_PID=$BG
	within 5 test -S "$LAB/run/ddnsd.sock"
}
ddns_up() { # CONFIG [NODECONFIG]
	ddns_write "$1" "${2-wan \"wan1\" { interface = wan0 \}}"
	[ -S "$LAB/run/hasync.sock" ] || hasync_up || return 1
	ddns_start
}
ddns_down() { kill $DDNS_PID && within 5 dns_gone $DDNS_PID; rm -f "$LAB/run/ddnsd.sock"; }
ddns_log() { grep -qE -- "$1" "$LAB/ddnsd.log"; }
ddns_event() { grep -cE -- " $1: .*${2:-}" "$LAB/ddnsd.log"; }
ddns_row() { # WAN TYPE KEY
	ddns_ctl -j ddns status | jq -r ".uplinks[] | select(.wan == \"$1\") | .records[] | select(.type == \"$2\") | .$3"
}
ddns_state() { ddns_row "$1" ${2:-A} state; }
ddns_error() { ddns_row "$1" ${2:-A} error; }
ddns_is() { [ "$(ddns_state "$1" ${3:-A})" = "$2" ]; }
store_get() { "$LAB_ROOT/tests/lib/hactl" "$LAB/run/hasync.sock" get "$1"; }

# ---- trouble ----------------------------------------------------------------

# A relay in front of knot at port 5400 that spoils answers; see tests/lib/dns-relay.
RELAY_PORT=5400
relay_mode() { echo "$1" > "$LAB/relay"; : > "$LAB/relay.log"; }
relay_up() {
	relay_mode pass
	bg_ns wan "$LAB_ROOT/tests/lib/dns-relay" "$LAB/relay" $DNS_ADDR $RELAY_PORT $DNS_ADDR 53 >> "$LAB/relay.err.log" 2>&1
	disown
	within 5 dns_answers $RELAY_PORT
}
relay_saw() { grep -c "^$1" "$LAB/relay.log"; }

# A dyndns2 provider that is a stand-in: HTTP at 192.0.2.1:8090, HTTPS at :8443.
dyn_up() {
	mkdir -p "$LAB/dyn"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=dyn \
		-addext subjectAltName=IP:192.0.2.1 -keyout "$LAB/dyn/dyn.key" -out "$LAB/dyn/dyn.pem" 2> /dev/null
	: > "$LAB/dyn/requests"
	bg_ns wan "$LAB_ROOT/tests/lib/dyndns2-standin" "$LAB/dyn" 192.0.2.1 8090 8443 >> "$LAB/dyn.log" 2>&1
	disown
	within 5 in_gateway curl -s http://192.0.2.1:8090/
	: > "$LAB/dyn/requests"
}
dyn_says() { if [ -n "$1" ]; then echo "$1" > "$LAB/dyn/word"; else rm -f "$LAB/dyn/word"; fi; }
dyn_requests() { grep -cE -- "${1:-.}" "$LAB/dyn/requests"; }
