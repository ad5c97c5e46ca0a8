#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 72-acme-account.t -- what an authority may offer or do beyond the plain way: valid
# authorizations, other chains, revocation, a new account key, accounts it has forgotten.
# No vpnd here, only what it would serve.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/acme.sh"
lab_up || bail "no lab"
ca_keys && dns_up && hasync_up || bail "no name server or store"
acmed_up "$ACME_CONFIG" || bail "no acmed"
pebble_up PEBBLE_AUTHZREUSE=100 PEBBLE_ALTERNATE_ROOTS=2 || bail "no pebble"
acme '{"cmd":"renew"}' > /dev/null
within 10 acme_is live || bail "not enrolled"

# ---- what is there already

before=$(serial) chals=$(grep -c 'POST /chalZ' $LAB/pebble.log)
acme '{"cmd":"renew","force":true}' > /dev/null
ok "an authorization that is valid already is used (reuse 100 %)" within 8 serial_is_not $before
is "no challenge was answered for it" "$(grep -c 'POST /chalZ' $LAB/pebble.log)" $chals

# ---- alternate chains

for i in 0 1 2; do pebble_root $i > $LAB/root$i.pem; done
root_cn() { openssl x509 -in $LAB/root$1.pem -noout -subject | sed 's/.*CN = //'; }
last_issuer() { acme_get live.root; }
is "without a wish the first chain is taken" "$(last_issuer)" "$(root_cn 0)"
before=$(serial)
acmed_config "$(acme_with 'preferred_chain = "'"$(root_cn 2)"'"')"
ends_in() { [ "$(last_issuer)" = "$1" ] || { acme_is live && acme '{"cmd":"renew","force":true}'; false; }; }
ok "a chain to another root is had" within 8 ends_in "$(root_cn 2)"
ok "and verifies with it" openssl verify -CAfile $LAB/root2.pem -untrusted <(sed -n '/BEGIN CERT/,$p' $LAB/state/certs/live.pem) <(sed -n '/BEGIN CERT/,$p' $LAB/state/certs/live.pem)
is "it names what was asked for" "$(leaf -ext subjectAltName | tail -n 1 | tr -d ' ')" DNS:vpn.test
acmed_config "$(acme_with 'key_type = rsa2048')"
ok "another type of key is a reason for a new certificate" within 10 eval 'leaf -text | grep -q "2048 bit"'

# ---- commands about the account

account_key() { store_get acme/account | jq -r .key; }
k=$(account_key)
ok "the account's key is rolled over" acme_ok '{"cmd":"new_account_key"}'
unlike "it is another one then" "$(account_key)" "^$k\$"
before=$(serial) id=$(serial | tr 'A-F' 'a-f')
ok "a certificate is revoked" acme_ok '{"cmd":"revoke","reason":1}'
like "the authority knows it" "$(wan_curl https://192.0.2.1:15000/cert-status-by-serial/$id)" 'Revoked'
ok "the next one follows, by the new account key" within 12 serial_is_not $before
ok "it is told" grep -q 'cert_revoked' $LAB/acmed.log
like "a reason that makes no sense is refused" "$(acme '{"cmd":"revoke","reason":77}')" 'bad_request.*|reason must be'

# ---- an authority that has forgotten everything

pebble_down; pebble_up || bail "no pebble"
before=$(serial)
acme '{"cmd":"renew","force":true}' > /dev/null
ok "an account that has vanished is made again" within 10 serial_is_not $before
ok "and this is logged" acme_log_has 'does not know the account any more'

# ---- the pair key is another one, as when this node joins a pair

cp $LAB/pair.key $LAB/pair.new && mv $LAB/pair.new $LAB/pair.key
ok "acmed ends, to read it as root when it is started again" within 5 test ! -e /proc/$acmed_pid
ok "and says so" acme_log_has 'pair.key was replaced: starting again'
