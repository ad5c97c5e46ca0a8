#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 53-ddns-challenge.t -- the TXT records that prove a name to a CA (dns-01), for acmed,
# whose part is played here; and secrets by vpnctl. The name servers are knot and bind9.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/dns.sh"
for p in knotd named; do
	command -v $p > /dev/null || lab_skip_all "no $p: deploy/setup test"
done
lab_up || bail "no network"
knot_up && bind_up && hasync_up || bail "no servers"

# Secrets.
is "there are no secrets yet" "$(ddns_ctl secret list)" "no secrets yet; 'vpnctl secret set NAME' stores one"
fails "an empty one is refused" secret_set dnskey ""
fails "a name is plain" secret_set "DNS key" x
fails "more than 4096 bytes are refused" eval 'head -c 4097 /dev/zero | tr "\0" x | ddns_ctl secret set big --key "$LAB/pair.key"'
ok "4096 are not" eval 'head -c 4096 /dev/zero | tr "\0" x | ddns_ctl secret set big --key "$LAB/pair.key"'
ok "a secret is stored" secret_set dnskey $DNS_SECRET
is "and listed by name" "$(ddns_ctl -j secret list | jq -r '.secrets[].name' | tr '\n' ' ')" "big dnskey "
ok "never its value" eval '! ddns_ctl secret list | grep -q $DNS_SECRET && ! grep -rq $DNS_SECRET "$LAB/state"'
ok "removed" ddns_ctl secret remove big
fails "once" ddns_ctl secret remove big
is "it is gone" "$(ddns_ctl -j secret list | jq -r '.secrets[].name' | tr '\n' ' ')" "dnskey "

ask() { # ID VALUE [NAME]
	"$LAB_ROOT/tests/lib/hactl" "$LAB/run/hasync.sock" put acme/challenge/$1 \
		"{\"type\":\"${TYPE-dns-01}\",\"name\":\"_acme-challenge.${3-gw1.dyn.vpn.test}\",\"value\":\"$2\"}" > /dev/null
}
forget() { "$LAB_ROOT/tests/lib/hactl" "$LAB/run/hasync.sock" remove acme/challenge/$1 > /dev/null; }
answer() { store_get ddns/challenge/$1 | jq -r "$2" 2> /dev/null; }
is_done() { [ "$(answer $1 .done)" = true ]; }
no_answer() { ! store_get ddns/challenge/$1 | grep -q value; }
txt() { zone_get _acme-challenge.${1-gw1.dyn.vpn.test} TXT | tr -d '"'; }
txt_is() { [ "$(txt)" = "$1" ]; }
conf() { ddns_config "server { hostname = \"gw1.dyn.vpn.test\" }
ddns \"wan1\" { provider = rfc2136 server = \"192.0.2.1\" port = $1 zone = \"vpn.test\" key_name = \"ddns-key\" secret = dnskey family = ipv4 }" \
	'wan "wan1" { interface = wan0 }'; }
conf 53
ok "ddnsd starts" ddns_start
for DNS_PORT in 53 5301; do
	who=knot; [ $DNS_PORT = 53 ] || who=bind9
	conf $DNS_PORT
	sleep 0.3
	ask one value-1-$who
	ok "$who: a challenge is answered" within 5 is_done one
	is "... and its record is there" "$(txt)" value-1-$who
	ask two value-2-$who
	ok "a second one of the name" within 5 is_done two
	is "stands beside it" "$(txt)" "value-1-$who value-2-$who"
	forget one
	ok "one goes" within 5 no_answer one
	is "the other stays" "$(txt)" value-2-$who
	ask two value-3-$who
	ok "a changed one replaces its record" within 5 txt_is value-3-$who
	forget two
	ok "the last goes" within 5 txt_is ""
	ok "and its answer" within 3 no_answer two
done

ask away value-4 gw1.other.test
ok "a name that is nowhere is told" within 3 eval '[[ $(answer away .error) == "no ddns section"* ]]'
forget away
ok "and forgotten" within 3 no_answer away
TYPE=http-01 ask http value-5
sleep 0.5
ok "other kinds are not ours" no_answer http
forget http
ask out value-6 gw1.away.vpn.test
ok "a name that the key may not change is told" within 5 eval '[[ $(answer out .error) == "key ddns-key may not change _acme-challenge.gw1.away.vpn.test"* ]]'
forget out
# A restart in between.
ask three value-7
ok "a challenge" within 5 is_done three
ddns_down
forget three
ok "ddnsd was not there when it went" ddns_start
ok "the record goes all the same" within 5 txt_is ""
ok "nothing is left behind" within 3 no_answer three
ok "challenges that make no sense do no harm" eval 'for x in "{" "[]" "{\"type\":\"dns-01\"}" "{\"type\":\"dns-01\",\"name\":7,\"value\":\"x\"}"; do
	"$LAB_ROOT/tests/lib/hactl" "$LAB/run/hasync.sock" put acme/challenge/junk "$x"; done; sleep 0.3; ddns_ctl ddns status'

# The node joins a pair: another key, which only root can read.
od -An -tx1 -N32 /dev/urandom | tr -d ' \n' > "$LAB/new.key"
ok "the pair key is replaced" mv "$LAB/new.key" "$LAB/pair.key"
ok "ddnsd ends, to be started again with it" within 5 dns_gone $DDNS_PID
rm -f "$LAB/run/ddnsd.sock"
ok "started again" ddns_start
ask four value-8
ok "it cannot open the secret any more, and says so" within 5 eval '[[ $(answer four .error) == *"does not open with this pair key"* ]]'
secret_set dnskey $DNS_SECRET
forget four
within 5 no_answer four
ask five value-9
ok "stored again it is good" within 5 is_done five
