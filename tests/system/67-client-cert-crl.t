#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 67-client-cert-crl.t -- revocation lists of client certificates: PEM, DER, replaced
# while the service runs, missing, old, and damaged.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
. "$(dirname "$0")/../lib/pki.sh"
lab_up || bail "no lab"
pki_up && pki_issue alice && pki_issue bob || bail "no certificates"
(
	# Signed by the root itself, so that one list in one DER file covers all of the chain.
	cd $PKI && CN=rooted && {
		pki_key rooted && openssl req -new -key rooted.key -subj /CN=rooted -out rooted.csr &&
		cp rooted.key gone.key && openssl req -new -key gone.key -subj /CN=gone -out gone.csr &&
		sed 's/^certificate=int.pem/certificate=root.pem/; s/^private_key=int.key/private_key=root.key/; s/^database=index.txt/database=root.txt/' ca.cnf > root.cnf &&
		openssl ca -batch -config root.cnf -in rooted.csr -out rooted-chain.pem -notext -extensions cli &&
		openssl ca -batch -config root.cnf -in gone.csr -out gone-chain.pem -notext -extensions cli
	} >> pki.log 2>&1
) || bail "no certificates of the root"
client_ca $PKI/ca.pem
with() { echo "server { workers = 2 }
client_connection { dpd = 5 }
authentication { client_certificate = required $* }"; }
crl=$LAB/lists/client.crl
mkdir $LAB/lists && cp $PKI/crl.pem $crl
vpnd_try "$(with client_crl = $LAB/lists/none.crl)"
ok "a list that is not there: vpnd does not start" test "$VPND_RC" = 78
like "... and says why" "$(cat $LAB/try.log)" 'authentication.client_crl.*cannot be read'
vpnd_up "$(with client_crl = $crl)" || bail "no vpnd"
user_add alice secret-a && user_add bob secret-b || bail "no users"
sent() { xml_init | xml_post / --cert $PKI/$1-chain.pem --key $PKI/$1.key; }
passes() { sent $1 | grep -q '<form'; }
refused() { ! passes $1 && reason_is $2; }

ok "a certificate that no list has passes" client_up alice $(cert alice)
client_down
ok "so does another one" client_up bob $(cert bob)
pki_revoke bob && pki_crl && cp $PKI/crl.pem $crl
ok "R76 revoked in a PEM list that came while the service runs" within 5 refused bob cert_revoked
ok "... the other one still passes" passes alice
ok "... a session of before stays" pings
client_try 10 bob@c2 $(cert bob)
ok "R76 the client reports it" client_log_has 'Certificate Validation Failure: the certificate is revoked' c2
ok "R76 ... and sees no form" eval '! grep -q "<form" $LAB/c2.log'
client_down

cp $PKI/int.crl $crl
ok "R76 the intermediate's issuer has no list: refused" within 5 refused alice cert_crl
cp $PKI/crl.pem $crl
ok "... it has one again" within 5 passes alice
head -c 200 $PKI/crl.pem > $crl
ok "a damaged list is told" within 5 event_seen config_refused '.reason == "client_ca"'
ok "... and the one before stays in force" passes alice
ok "... for the revoked, too" within 5 refused bob cert_revoked
rm $crl
sleep 0.5 # what must not happen has this long to happen
ok "so it does when the file is removed" eval 'passes alice && refused bob cert_revoked'
mkdir $LAB/lists2 && cp $PKI/crl.pem $LAB/lists2/client.crl && rm -r $LAB/lists && mv $LAB/lists2 $LAB/lists
(cd $PKI && openssl ca -config ca.cnf -gencrl -crlsec 1 -out short.crl 2> /dev/null && cat short.crl root.crl) > $LAB/short
within 5 sleep 1.1
cp $LAB/short $crl
ok "a new folder in its place; a list past its end: refused" within 5 refused alice cert_crl

cp $PKI/crl.pem $crl
within 5 passes alice
vpnd_kill9 worker; vpnd_kill9 worker
ok "workers that are started again have it, too" within 10 passes alice
ok "..." within 5 refused bob cert_revoked
(cd $PKI && openssl ca -config root.cnf -revoke gone-chain.pem && openssl ca -config ca.cnf -name root -gencrl |
	openssl crl -outform DER -out root.der) 2> /dev/null
cp $PKI/crl.pem $crl
ok "a good list again" within 5 passes gone
cp $PKI/root.der $crl
ok "R76 revoked in a DER list" within 5 refused gone cert_revoked
ok "... the good one passes" passes rooted
ok "the list is no longer wanted" vpnd_reload "$(with)"
ok "... and the revoked one passes" within 3 passes bob
big() { head -c 9000000 /dev/zero; }
big > $LAB/lists/big
ok "a list of 9 MB" vpnd_reload "$(with client_crl = $LAB/lists/big)"
ok "... is too large: nobody passes" within 3 refused alice cert_crl
