#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 51-ddns-servers.t -- two real servers, knot and bind9, that do not take an update, each
# for its own reason and with its own text; and answers that are cut, forged or missing,
# by a relay that spoils them.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/dns.sh"
for p in knotd named faketime; do
	command -v $p > /dev/null || lab_skip_all "no $p: deploy/setup test"
done
lab_up || bail "no network"
knot_up && bind_up && relay_up || bail "no name servers"
hasync_up || bail "no hasync"
secret_set dnskey $DNS_SECRET && secret_set other $DNS_OTHER &&
	secret_set wide $DNS_WIDE && secret_set junk "not base64" || bail "no secrets"
i=0
conf() { # PORT KEY SECRET [OPTIONS]: each time another address, so that it has to be written
	i=$((i + 1))
	ADDR=203.0.113.$i
	ddns_config "server { hostname = \"${HOST-gw1.dyn.vpn.test}\" }
ddns \"wan1\" { provider = rfc2136 server = \"192.0.2.1\" port = $1 zone = \"${ZONE-vpn.test}\" key_name = \"$2\"
	secret = $3 address = { \"$ADDR\" } min_interval = 0 $4 }"
}
# Settled with that configuration: what it says of it.
outcome() {
	within 12 eval '[ "$(ddns_row wan1 A address)" = '$ADDR' ] && [[ $(ddns_state wan1) =~ ^(published|failed)$ ]]'
	echo "$(ddns_state wan1): $(ddns_error wan1)"
}
conf 53 ddns-key dnskey
ok "ddnsd starts" ddns_start
HOST=gw1.dyn.vpn.test
for DNS_PORT in 53 5301; do
	who=knot; [ $DNS_PORT = 53 ] || who=bind9
	conf $DNS_PORT ddns-key dnskey
	is "$who takes an update" "$(outcome)" "published: "
	is "... and holds it" "$(zone_get $HOST A)" $ADDR
	was=$ADDR
	conf $DNS_PORT no-key dnskey
	like "$who: an unknown key" "$(outcome)" '^failed: server 192.0.2.1 does not know the key no-key'
	conf $DNS_PORT ddns-key other
	like "$who: the wrong secret" "$(outcome)" '^failed: server 192.0.2.1 has another secret for key ddns-key'
	HOST=gw1.away.vpn.test conf $DNS_PORT ddns-key dnskey
	like "$who: the key may not change that name" "$(outcome)" '^failed: key ddns-key may not change gw1.away.vpn.test at server'
	HOST=gw1.other.test ZONE=other.test conf $DNS_PORT ddns-key dnskey
	like "$who: a zone that is not served" "$(outcome)" '^failed: server 192.0.2.1 is not authoritative for zone other.test'
	HOST=alias.dyn.vpn.test conf $DNS_PORT ddns-key dnskey
	like "$who: an alias in the zone" "$(outcome)" '^failed: alias.dyn.vpn.test is an alias'
	is "$who: none of them changed anything" "$(zone_get $HOST A)" $was
	conf $DNS_PORT wide-key wide 'key_algorithm = "hmac-sha512"'
	is "$who takes a key of SHA-512" "$(outcome)" "published: "
done
conf 53 ddns-key junk
like "a secret that is no key" "$(outcome)" '^failed: the secret junk is not a TSIG key in base64'
DNS_PORT=53
conf 53 ddns-key later
like "a secret that is not there" "$(outcome)" '^failed: there is no secret later: store it'
secret_set later $DNS_SECRET
ok "is taken as soon as it is stored" within 3 zone_is $HOST A $ADDR

# The clock: this machine's an hour behind. One text, with both times.
t='^failed: the clocks differ by 3[56][0-9][0-9] s, 300 s are allowed: here it is [-0-9]+ [:0-9]+ UTC, at server 192.0.2.1 [-0-9]+ [:0-9]+ UTC'
lib=$(ls /usr/lib/*/faketime/libfaketime.so.1)
ok "ddnsd with a clock an hour behind" eval 'ddns_down && ddns_start env ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$lib FAKETIME=-1h FAKETIME_DONT_FAKE_MONOTONIC=1'
for DNS_PORT in 53 5301; do
	who=knot; [ $DNS_PORT = 53 ] || who=bind9
	conf $DNS_PORT ddns-key dnskey
	like "$who: the clocks differ" "$(outcome)" "$t"
done
ok "with the right clock" eval 'ddns_down && ddns_start'
is "it is taken" "$(outcome)" "published: "
DNS_PORT=53
is "each reason was told once" "$(grep -c 'ddns_failed: .*does not know the key no-key' "$LAB/ddnsd.log")" 2
n=$(sed -n 's/.*ddns_failed: [^:]*: //p' "$LAB/ddnsd.log" | sed 's/gw1[a-z.]*\|[0-9:-]\+//g' | sort -u | wc -l)
ok "no two reasons have the same text ($n)" [ $n -ge 8 ]

# The relay.
sent() { ddns_ctl -j ddns status | jq ".dns.$1"; }
relay() { # MODE
	relay_mode $1
	conf 5400 ddns-key dnskey
}
relay pass
is "by the relay" "$(outcome)" "published: "
relay truncated
is "answers cut by UDP are asked for by TCP" "$(outcome)" "published: "
ok "... each time" [ "$(relay_saw tcp)" -ge 2 ]
was=$(sent ignored)
relay wrongid
is "an answer with another id is not listened to" "$(outcome)" "published: "
ok "... and counted" [ "$(sent ignored)" -gt $was ]
was=$(sent ignored)
relay spoofed
is "nor one from another address" "$(outcome)" "published: "
ok "... and counted" [ "$(sent ignored)" -gt $was ]
ok "... and logged" ddns_log 'answer ignored: from another address than it was asked'
relay servfail
like "SERVFAIL is told and tried again" "$(outcome)" '^failed: server 192.0.2.1 could not do it: SERVFAIL'
relay_mode pass
ok "... by itself" within 8 zone_is $HOST A $ADDR
was=$(sent ignored)
relay flipped
is "an answer whose signature is wrong is not believed; TCP helps" "$(outcome)" "published: "
ok "... and counted" [ "$(sent ignored)" -gt $was ]
relay stripped
is "nor one without its signature" "$(outcome)" "published: "
relay silent
is "without UDP it goes by TCP" "$(outcome)" "published: "
relay huge
like "an answer too large is not read" "$(outcome)" '^failed: server 192.0.2.1 port 5400 answered no DNS'
relay dead
like "a server that is dead is told" "$(outcome)" '^failed: server 192.0.2.1 port 5400 does not answer by UDP or TCP'
relay_mode pass
ok "and written to when it is back" within 12 zone_is $HOST A $ADDR
conf 5999 ddns-key dnskey
like "a port where nobody listens" "$(outcome)" 'port 5999 does not answer by UDP or TCP: [Cc]onnection refused'
ok "no secret is in a log" eval '! grep -qE "$DNS_SECRET|$DNS_OTHER|$DNS_WIDE" "$LAB"/ddnsd.log "$LAB"/hasync.log'
