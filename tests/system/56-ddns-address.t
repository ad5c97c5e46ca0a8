#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 56-ddns-address.t -- behind a NAT: the address that is published is what two STUN
# servers (coturn) agree on, else what a page says; who lies is not believed (R21, R26,
# R33).
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/dns.sh"
command -v turnserver > /dev/null || lab_skip_all "no turnserver: deploy/setup test"
lab_up && client_net 2 && client_net 3 || bail "no lab"

# gw has a private address, whose outside is 203.0.113.1.
in_wan nft -f - <<-'NFT' || bail "no NAT"
	table ip nat {
		map outside { type ipv4_addr : ipv4_addr
			elements = { 203.0.113.11 : 203.0.113.1, 203.0.113.12 : 203.0.113.1, 203.0.113.13 : 203.0.113.1 }
		}
		chain post { type nat hook postrouting priority srcnat
			ip saddr 10.66.0.0/24 oifname clients snat to ip daddr map @outside
		}
	}
NFT
ip -n wan addr add 10.66.0.1/24 dev gw0
for a in 203.0.113.98 203.0.113.99; do ip -n wan addr add $a/24 dev clients; done
ip -n gw addr flush dev wan0; ip -n gw addr add 10.66.0.2/24 dev wan0
ip -n gw route replace default via 10.66.0.1
outside() { # SERVER... ADDRESS: how those see gw from now on
	local to=${!#} s
	for s in "${@:1:$#-1}"; do
		in_wan nft "delete element ip nat outside { 203.0.113.$s }; add element ip nat outside { 203.0.113.$s : $to }"
	done
	in_wan conntrack -F 2> /dev/null
	return 0
}
declare -A server
stun_up() { # N: the real one, in cN
	bg_ns c$1 turnserver -n --stun-only --listening-ip=203.0.113.1$1 --listening-port=3478 --no-cli \
		--no-tls --no-dtls --pidfile=$LAB/turn$1.pid --log-file=stdout > $LAB/turn$1.log 2>&1
	server[$1]=$BG
	within 10 stun_listens $1
}
stun_listens() { [ -n "$(in_ns c$1 ss -Hlun 'sport = :3478')" ]; }
stun_down() { kill ${server[$1]}; within 5 eval '! stun_listens '$1; }
stun_lies() { # N SAYS [OPTION]: a stand-in takes its place
	stun_down $1
	bg_ns c$1 "$LAB_ROOT/tests/lib/stun-liar" 203.0.113.1$1 3478 "${@:2}" > $LAB/liar$1.log 2>&1
	server[$1]=$BG
	within 5 stun_listens $1
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=page \
	-addext subjectAltName=IP:203.0.113.13 -keyout $LAB/page.key -out $LAB/page.pem 2> /dev/null
config() { # MORE
	echo "server { hostname = \"gw.dyn.vpn.test\" }
ddns \"wan1\" { provider = rfc2136 server = 192.0.2.1 zone = vpn.test key_name = ddns-key secret = k
	family = ipv4 ttl = 5 min_interval = 0 check_interval = 1 $1 }"
}
STUN='stun = { "203.0.113.11", "203.0.113.12:3478" }'
PAGE="lookup_url = \"https://203.0.113.13:8443/\" ca_file = \"$LAB/page.pem\""
chmod 755 $LAB; chmod 644 $LAB/page.pem
knot_up || bail "no knot"
hasync_up && secret_set k $DNS_SECRET || bail "no store"
said() { tail -n +${mark:-1} $LAB/ddnsd.log | grep -qE -- "$1"; }
mark() { mark=$(($(wc -l < $LAB/ddnsd.log) + 1)); }
has() { zone_is gw.dyn.vpn.test A "$1"; }

update() { ddns_ctl ddns update wan1 > $LAB/update.txt 2>&1; true; } # asks now, whatever failed before

ok "two STUN servers are up" eval 'stun_up 1 && stun_up 2'
ok "ddnsd is up" ddns_up "$(config "$STUN")"
ok "R21 R26 the address outside of the NAT is published" within 10 has 203.0.113.1
outside 11 12 13 203.0.113.99
ok "R33 it changes, and so does the record" within 10 has 203.0.113.99

mark; outside 12 203.0.113.98
ok "they disagree: that is said" within 15 said '203\.0\.113\.11 says 203\.0\.113\.99, 203\.0\.113\.12:3478 says 203\.0\.113\.98: they must agree'
like "to the administrator, too" "$(ddns_error wan1)" 'they must agree'
ok "and nothing changes" has 203.0.113.99
outside 12 203.0.113.99
mark; ok "one lies: a private address" stun_lies 2 10.1.2.3
update
ok "it is not believed" within 5 said 'says 10\.1\.2\.3, which is private'
mark; ip -n c2 addr add 203.0.113.22/24 dev eth0
ok "one answers from elsewhere" stun_lies 2 203.0.113.99 spoof=203.0.113.22
update
ok "that is not listened to: no agreement" within 12 said '203\.0\.113\.11 alone says 203\.0\.113\.99; STUN: 203\.0\.113\.12:3478 does not answer'
ok "the record is what it was" has 203.0.113.99

bg_ns c3 "$LAB_ROOT/tests/lib/ip-page" 203.0.113.13 8443 $LAB/page.pem $LAB/page.key $LAB/page > $LAB/page.log 2>&1
within 5 eval '[ -n "$(in_ns c3 ss -Hltn "sport = :8443")" ]'
outside 11 12 13 203.0.113.1
ok "now the page is asked" ddns_config "$(config "$PAGE")"
ok "R26 what it says is published" within 10 has 203.0.113.1
page() { printf "$1" > $LAB/page; mark; update; }
page '2001:db8::1\n'
ok "another family is not believed" within 5 said 'lookup: says 2001:db8::1, which is not IPv4'
page 127.0.0.1
ok "nor loopback" within 5 said 'lookup: says 127\.0\.0\.1, which is loopback'
page '%9000s'
ok "nor too much" within 5 said 'lookup: the answer is too long'
ok "the record is what it was" has 203.0.113.1
mark; ok "an authority that nobody knows" ddns_config "$(config 'lookup_url = "https://203.0.113.13:8443/"')"
ok "is refused" within 5 said 'lookup: SSL certificate problem'

ok "the operator's word is above all" ddns_config "$(config "$STUN address = { 203.0.113.50 }")"
ok "R26 it is published" within 10 has 203.0.113.50
