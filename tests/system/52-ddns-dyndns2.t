#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 52-ddns-dyndns2.t -- updates by a provider's web service. There is no such server to
# install: a stand-in answers, and two other clients say that it is one.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/dns.sh"
for p in inadyn ddclient knotd; do
	command -v $p > /dev/null || lab_skip_all "no $p: deploy/setup test"
done
lab_up || bail "no network"
knot_up && dyn_up || bail "no servers"
echo $DNS_KEY > "$LAB/dyn/zone"

# The controls.
cat > "$LAB/inadyn.conf" <<EOF
allow-ipv6 = false
custom t1 {
  username = u1
  password = pw1
  ddns-server = 192.0.2.1:8090
  ddns-path = "/nic/update?hostname=%h&myip=%i"
  ssl = false
  hostname = c1.dyn.vpn.test
  checkip-command = "/bin/echo 203.0.113.101"
}
EOF
ok "control: inadyn takes the stand-in for a provider" in_gateway timeout 20 inadyn -1 -n -f "$LAB/inadyn.conf" --cache-dir="$LAB" --foreground
is "control: and its address is taken" "$(cat "$LAB/dyn/c1.dyn.vpn.test.4")" 203.0.113.101
printf 'daemon=0\nssl=no\nuse=ip, ip=203.0.113.102\nprotocol=dyndns2\nserver=192.0.2.1:8090\nlogin=u1\npassword=pw1\nc2.dyn.vpn.test\n' > "$LAB/ddclient.conf"
chmod 600 "$LAB/ddclient.conf"
like "control: ddclient, too" "$(in_gateway timeout 20 ddclient -file "$LAB/ddclient.conf" -cache "$LAB/ddclient.cache" -verbose -foreground -daemon=0 2>&1)" SUCCESS
: > "$LAB/dyn/requests"

hasync_up || bail "no hasync"
secret_set pw pw1 && secret_set bad pw2 || bail "no secrets"
chmod 755 "$LAB/dyn"; chmod 644 "$LAB/dyn/dyn.pem"
i=0
conf() { # [OPTIONS]: another address each time
	i=$((i + 1))
	ADDR=203.0.113.$i
	ddns_config "server { hostname = \"gw1.dyn.vpn.test\" }
ddns \"wan1\" { provider = dyndns2 url = \"https://192.0.2.1:8443/nic/update\" user = u1 secret = ${SECRET-pw}
	ca_file = \"${CA-$LAB/dyn/dyn.pem}\" server = \"${DNS-192.0.2.1}\" zone = vpn.test address = { \"$ADDR\" } min_interval = 0
	check_interval = 1 $1 }"
}
outcome() {
	within 12 eval '[ "$(ddns_row wan1 A address)" = '$ADDR' ] && [[ $(ddns_state wan1) =~ ^(published|failed)$ ]]'
	echo "$(ddns_state wan1): $(ddns_error wan1)"
}
conf
ok "ddnsd starts" ddns_start
is "an address is published" "$(outcome)" "published: "
is "the zone has it" "$(zone_get gw1.dyn.vpn.test A)" $ADDR
sleep 2.2
is "by one request, however often the zone is looked at" $(dyn_requests) 1
like "over TLS, as ddnsd" "$(cat "$LAB/dyn/requests")" "^/nic/update\?hostname=gw1.dyn.vpn.test&myip=$ADDR tandem-ddnsd good"
zone_set gw1.dyn.vpn.test 60 A 203.0.113.200
rm "$LAB/dyn/gw1.dyn.vpn.test.4"
ok "a record that someone else changed is corrected" within 8 zone_is gw1.dyn.vpn.test A $ADDR
ok "and told" ddns_log 'ddns_foreign_change: gw1.dyn.vpn.test A was changed by someone else: the zone holds 203.0.113.200'

# Each word that stops.
while read -r word text; do
	dyn_says $word
	: > "$LAB/dyn/requests"
	conf
	like "$word stops it" "$(outcome)" "^failed: the provider says $word for gw1.dyn.vpn.test: $text"
	sleep 1.2
	is "... after one request" $(dyn_requests) 1
done <<'WORDS'
badauth user name or password are wrong
nohost this account has no such name
notfqdn the name is not a full DNS name
abuse the name is blocked
WORDS
dyn_says
ok "until the operator says so" eval 'ddns_ctl ddns update && zone_is gw1.dyn.vpn.test A $ADDR'
dyn_says 911
: > "$LAB/dyn/requests"
conf
like "911 waits for half an hour" "$(outcome)" '^failed: the provider says 911 for .*30 minutes'
sleep 2.5
is "... and does not ask again before" $(dyn_requests) 1
dyn_says 503
: > "$LAB/dyn/requests"
conf
like "HTTP 503 is told" "$(outcome)" '^failed: the provider answered HTTP 503'
dyn_says
ok "and tried again soon" within 8 zone_is gw1.dyn.vpn.test A $ADDR
dyn_says '<html>'
conf
like "what is no dyndns2" "$(outcome)" "answer \"<html>\" is not of dyndns2"
dyn_says
SECRET=bad conf
like "the wrong password" "$(outcome)" "^failed: the provider says badauth"
secret_set bad pw1
ok "is tried again when it is stored right" within 5 zone_is gw1.dyn.vpn.test A $ADDR
CA= conf
like "a certificate of nobody we know" "$(outcome)" "^failed: the provider is not reached: .*certificate"
conf
is "with the right one it goes" "$(outcome)" "published: "

# nochg: the provider has the address, the zone does not.
rm "$LAB/dyn/zone"
: > "$LAB/dyn/requests"
echo 203.0.113.$((i + 1)) > "$LAB/dyn/gw1.dyn.vpn.test.4"
conf
ok "nochg, and the zone holds another address" within 14 ddns_is wan1 failed
like "it is told" "$(ddns_error wan1)" "the update was taken, but the zone still holds"
sleep 3
is "nochg is never repeated" $(dyn_requests) 1
echo $DNS_KEY > "$LAB/dyn/zone"

# Without a name server to ask, the provider's word counts.
: > "$LAB/dyn/requests"
DNS= conf
is "without a server to ask" "$(outcome)" "published: "
sleep 2.2
is "one request, too" $(dyn_requests) 1
ddns_config 'server { hostname = "gw1.dyn.vpn.test" }'
ok "what cannot be removed is told" within 5 ddns_log 'ddns_failed: gw1.dyn.vpn.test A is not kept any more, but dyndns2 has no way to remove it'
ok "no password is in a log" eval '! grep -qE "pw1|pw2" "$LAB/ddnsd.log"'
