#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 71-acme-refusals.t -- an authority that refuses, forgets, is slow or away: acmed says
# why, waits longer each time, and goes on by itself. No vpnd here, only what it serves.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/acme.sh"
lab_up || bail "no lab"
ca_keys && dns_up && hasync_up || bail "no name server or store"
posts() { grep -c 'POST /' $LAB/pebble.log; }
tries() { grep -c 'cert_failed' $LAB/acmed.log; }

# ---- nobody there, then slow

acmed_up "$ACME_CONFIG" || bail "no acmed"
ok "an authority that is away is said to be" within 5 acme_text_is 'failed: https://192.0.2.1:14000/dir: Failed to connect.*next try at'
ok "it is asked again a few seconds later" within 8 test "$(acme_next_in)" -le 6
again() { [ "$(tries)" -ge 2 ]; }
ok "and again" within 10 again
ok "the wait grows" test "$(acme_next_in)" -ge 8
pebble_up PEBBLE_VA_NOSLEEP=0 PEBBLE_VA_SLEEPTIME=2 || bail "no pebble"
ok "an operator need not wait" acme '{"cmd":"renew"}'
ok "a slow validation is told as it goes" within 4 acme_text_is '^validating vpn.test by http-01'
ok "and waited for" within 15 acme_is live

# ---- a name that is not to be had

acmed_fresh "$(sed 's/vpn.test/blocked.test/' <<< "$ACME_CONFIG")"
ok "a refused name: the authority's reason is told" within 5 acme_text_is 'failed: ordering: .*blocked.test.*rejectedIdentifier'
ok "and it is let alone for a minute" test "$(acme_next_in)" -ge 55
n=$(posts); sleep 2
is "really" "$(posts)" "$n"
dns_set vpn.test 192.0.2.99
pebble_down; pebble_up || bail "no pebble"
acmed_fresh "$(acme_with 'challenge = auto')"
like_both() { acme_log_has 'vpn.test by tls-alpn-01: ' && acme_log_has 'vpn.test by http-01: '; }
ok "a name that is elsewhere: each challenge is tried once" within 20 like_both
ok "then it is let alone" within 3 test "$(acme_next_in)" -ge 55
ok "with the authority's word for it" acme_text_is 'by (http|tls-alpn)-01: .*192.0.2.99|connect'
acmed_config "$(acme_with 'challenge = auto')
client_connection { banner = "hello" }"
sleep 0.5
ok "settings about something else do not end the wait" test "$(acme_next_in)" -ge 45
dns_set vpn.test 192.0.2.10

# ---- external account binding

pebble_down
mac=zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W
pebble_up externalAccountBindingRequired=true externalAccountMACKeys="{\"kid-1\":\"$mac\"}" || bail "no pebble"
acmed_fresh "$ACME_CONFIG"
ok "a binding that is wanted is named" within 5 acme_text_is 'set certificate.eab_key_id'
acmed_config "$(acme_with 'eab_key_id = "kid-1"' 'eab_secret = "ca-mac"')"
ok "its secret that is not there, too" within 5 acme_text_is 'vpnctl secret set'
ok "the secret is stored" secret ca-mac "${mac/z/y}"
acme '{"cmd":"renew"}' > /dev/null
ok "a wrong one is the authority's refusal" within 5 acme_text_is 'failed: registering: .*unauthorized'
secret ca-mac "$mac" > /dev/null
acme '{"cmd":"renew"}' > /dev/null
ok "with the right one it is enrolled" within 8 acme_is live
unlike "the secret is in no log" "$(cat $LAB/acmed.log)" "${mac:5:20}"

# ---- somebody else in its place

mv $LAB/trust.pem $LAB/trust.was; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	-subj /CN=other -keyout $LAB/o.key -out $LAB/trust.pem 2> /dev/null; chmod 644 $LAB/trust.pem
acmed_config "$ACME_CONFIG"
# As often as needed: the new settings are read a moment later.
renewal_says() { acme_text_is "$1" || { acme '{"cmd":"renew","force":true}'; false; }; }
ok "an authority that is not who it should be is not talked to" within 5 renewal_says 'failed: .*certificate'
rm $LAB/trust.pem; acmed_config "$ACME_CONFIG"
ok "a ca_file that is missing is named" within 3 acme_text_is 'waiting for certificate.ca_file: .*No such file'
