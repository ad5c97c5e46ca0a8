#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 66-client-cert-only.t -- a certificate in place of name and password, where the name
# comes from, certificates that are optional, and a client CA that changes.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
. "$(dirname "$0")/../lib/pki.sh"
lab_up || bail "no lab"
pki_up && pki_issue alice && pki_issue carol && pki_issue nobody && pki_issue tess && pki_issue bare nosan ||
	bail "no certificates"
(cd $PKI && pki_root other "/CN=Other Root" >> pki.log 2>&1) || bail "no other CA"
client_ca $PKI/ca.pem
with() { echo "server { workers = 2 }
client_connection { dpd = 5 }
authentication { $* }"; }
vpnd_up "$(with client_certificate = required)" || bail "no vpnd"
for u in alice carol bare alice@corp.vpn.test alice@ad.vpn.test; do
	user_add $u "secret of $u" || bail "no users"
done
sent() { xml_init | xml_post / --cert $PKI/$1-chain.pem --key $PKI/$1.key; }

like "R79 by default a certificate alone gets the form" "$(sent alice)" '<form.*type="password"'
PASSWORD='' client_try 10 alice $(cert alice)
unset PASSWORD
ok "R79 ... and does not connect" test "$CLIENT_RC" != 0

ok "R79 certificate-only login is switched on" vpnd_reload "$(with client_certificate = only)"
# The name that is given here counts for nothing.
PASSWORD='' client_up whoever $(cert alice)
is "R79 the certificate alone connects" $? 0
unset PASSWORD
is "R79 ... as the user it names" "$(session_get alice user)" alice
ok "... with data" pings
client_down
answer=$(sent nobody)
like "R79 one that names no user of ours is refused" "$answer" '<error'
unlike "... without a form" "$answer" '<form|session-token'
ok "... as unknown" reason_is unknown_user
ok "a user is disabled" ctl user disable carol
unlike "R79 his certificate is refused" "$(sent carol)" '<form|session-token'
ok "... as not authorised" reason_is not_authorised
ok "... and good again when he is" ctl user enable carol
like "R79 as said" "$(sent carol)" '<session-token>'
answer=$(xml_init | xml_post /)
unlike "without a certificate there is no form" "$answer" '<form'
answer=$(xml_reply alice "secret of alice" "$answer" | xml_post /)
unlike "... and no password counts" "$answer" '<form|session-token'
ok "a user has a one-time code" eval 'echo secret | ctl user add tess --password-stdin --totp'
answer=$(sent tess)
like "... and is asked for it" "$answer" 'name="answer"'
unlike "... not for a password" "$answer" 'name="password"|session-token'

ok "the name is the mail address" vpnd_reload "$(with client_certificate = only certificate_user = mail)"
PASSWORD='' client_up x $(cert alice)
unset PASSWORD
is "... of the session" "$(ctl -j sessions | jq -r '[.sessions[] | select(.state == "connected") | .user] | join(" ")')" alice@corp.vpn.test
client_down
unlike "R76 a certificate without one is refused" "$(sent bare)" '<form|session-token'
ok "... with its reason" reason_is cert_no_name
ok "the name is the user principal name" vpnd_reload "$(with client_certificate = only certificate_user = upn)"
PASSWORD='' client_up x $(cert alice)
unset PASSWORD
is "... of the session" "$(ctl -j sessions | jq -r '[.sessions[] | select(.state == "connected") | .user] | join(" ")')" alice@ad.vpn.test
client_down
unlike "R76 a certificate without one is refused" "$(sent bare)" '<form|session-token'
ok "... with its reason" reason_is cert_no_name

ok "certificates are optional" vpnd_reload "$(with client_certificate = optional)"
ok "a client without one logs in by password" client_up alice
client_down
ok "a client with a good one, too" client_up alice $(cert alice)
client_down
pki_revoke carol && pki_crl || bail "no list"
ok "with a list" vpnd_reload "$(with client_certificate = optional client_crl = \"$PKI/crl.pem\")"
ok "... the good one passes" within 3 eval 'sent alice | grep -q "<form"'
unlike "who presents a bad one is refused" "$(sent carol)" '<form|session-token'
ok "... with its reason" reason_is cert_revoked

ok "a certificate is required, by any user" vpnd_reload "$(with client_certificate = required)"
client_ca $PKI/other.pem
ok "R78 another client CA is installed: the old certificates are refused" within 5 eval '! sent alice | grep -q "<form"'
ok "... as untrusted" reason_is cert_untrusted
echo rubbish > $LAB/state/certs/client-ca.pem
ok "rubbish in its place is told" within 5 event_seen config_refused '.reason == "client_ca"'
unlike "... and changes nothing" "$(sent alice)" '<form'
client_ca $PKI/ca.pem
ok "the old one again: they pass" within 5 eval 'sent alice | grep -q "<form"'
rm $LAB/state/certs/client-ca.pem
ok "without a client CA nobody passes" within 5 eval '! sent alice | grep -q "<form"'
