#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 74-acme-pair.t -- the certificate of a pair: one for both nodes, ordered by the active
# one, proved by whichever the authority reaches, and by the other one after a failover.
. "$(dirname "$0")/../lib/pair.sh"
. "$(dirname "$0")/../lib/acme.sh"
ca_keys || bail "no keys"
config='server { hostname = "vpn.test" workers = 1 }
certificate {
	directory = "'$ACME_DIR'"
	ca_file = "/etc/tandem/trust.pem"
	agree_tos = true
	without_ddns = true
	challenge = http-01
}'
pair_net && node_boot a && node_boot b && pair_configure "$config" || bail "no pair"
for n in a b; do in_node $n sh -c 'cat > /etc/tandem/trust.pem; chmod 644 /etc/tandem/trust.pem' < $LAB/trust.pem; done
dns_up || bail "no name server"
client_net 1; services_up a; services_up b
within 30 settled || bail "not settled"
service_up a acmed; service_up b acmed

ask() { in_node $1 socat -t 20 - UNIX:/run/tandem/acmed.sock <<< "$2"; } # NODE JSON
get() { ask $1 '{"cmd":"status"}' | jq -r ".$2"; }
state_is() { [ "$(get $1 auto.state)" = $2 ]; }
live_is() { [ "$(get $1 live.source)" = "$2" ]; }
print() { in_node $1 sh -c 'openssl x509 -in /var/lib/tandem/certs/live.pem -noout -fingerprint -sha256' 2> /dev/null; }
same() { [ -n "$(print a)" ] && [ "$(print a)" = "$(print b)" ]; }
shown() { in_client openssl s_client -connect $SERVER:443 < /dev/null 2> /dev/null | openssl x509 -noout -fingerprint -sha256; }
serves() { [ "$(shown)" = "$(print $1)" ]; }
objects() { in_node $1 "$LAB_ROOT/tests/lib/hactl" /run/tandem/hasync.sock list "$2"; }

ok "before there is a trusted one both have the same self-signed one" within 15 same
is "it is the shared one" "$(get a live.source) $(get b live.source)" "self-signed self-signed"
ok "and it is served" within 5 serves a
hactl() { in_node a "$LAB_ROOT/tests/lib/hactl" /run/tandem/hasync.sock "$@"; }
hactl put acme/challenge/by-hand '{"type":"tls-alpn-01","name":"vpn.test","digest":"'$(printf x | sha256sum | cut -d' ' -f1)'"}' > /dev/null
# From the node itself: from outside, the port is the active node's alone.
answers() { in_node $1 openssl s_client -connect $2:443 -servername vpn.test -alpn acme-tls/1 < /dev/null 2> /dev/null |
	openssl x509 -noout -text | grep -q 1.3.6.1.5.5.7.1.31; }
ok "an answer by TLS is shown by the active node" within 5 answers a 192.0.2.11
ok "and ready on the other" within 5 answers b 192.0.2.12
hactl remove acme/challenge/by-hand > /dev/null
like "the standby says whose business it is" "$(get b auto.text)" '^standby: the other node'
like "and refuses what is not" "$(ask b '{"cmd":"new_account_key"}')" 'not the active one'

# ---- the active node dies in the middle of an order

pebble_up PEBBLE_VA_NOSLEEP=0 PEBBLE_VA_SLEEPTIME=60 PEBBLE_AUTHZREUSE=0 || bail "no pebble"
ask a '{"cmd":"renew"}' > /dev/null
ok "the active node is in the middle of it" within 15 state_is a validating
like "both answer for it" "$(in_wan curl -s -o /dev/null -w '%{http_code}' http://192.0.2.11/x) $(in_wan curl -s -o /dev/null -w '%{http_code}' http://192.0.2.12/x)" '404 404'
power_off a
ok "the other one takes over" within 15 is_active b
ok "and orders itself" within 10 state_is b validating
# The authority that takes its time has shown what it is for.
kill -9 $pebble_pid; within 3 test ! -e /proc/$pebble_pid
pebble_up PEBBLE_AUTHZREUSE=0 || bail "no pebble"
ask b '{"cmd":"renew"}' > /dev/null
renews() { state_is b live || { ask b '{"cmd":"renew"}' > /dev/null; false; }; }
ok "to the end" within 30 renews
like "exactly one certificate is in the store, written once" "$(objects b cert/auto)" '^cert/auto 1 [^
]*$'
node_boot a && services_up a && service_up a acmed
ok "the node that returns has it, too" within 40 same
ok "as it is" live_is a auto
ok "the pair is well" within 30 settled
is "no challenge is left" "$(objects a acme/challenge/)" ""

# ---- the authority reaches the other node, which only answers

act=$(active) idle=$(other $(active))
declare -A addr=([a]=192.0.2.11 [b]=192.0.2.12)
dns_set vpn.test ${addr[$idle]}
before=$(print $act)
: "$(ask $act '{"cmd":"renew","force":true}')"
is_news() { [ "$(print $act)" != "$before" ] && same; }
ok "R42 a renewal that the other node proves, and both serve it" within 20 is_news
ok "clients see it" within 5 serves $act
is "by one account" "$(objects $act acme/account | wc -l)" 1
unlike "no key is to be read in either store" "$(in_node a sh -c 'cat /var/lib/tandem/cluster/*' | tr -d '\0')" 'PRIVATE KEY'
