#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 65-client-cert.t -- certificates of clients that are needed besides a password: who
# passes, what the others are told, and that nobody else sees a form.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
. "$(dirname "$0")/../lib/pki.sh"
lab_up || bail "no lab"
pki_up || bail "no CA"
(
	pki_issue alice && pki_p12 alice && pki_issue notclient srvonly && pki_issue noeku noeku &&
	pki_issue expired cli -startdate 20240101000000Z -enddate 20240201000000Z &&
	pki_issue future cli -startdate 20990101000000Z -enddate 20990201000000Z &&
	cd $PKI && {
		# As any public CA might be in the system's store; and one that only
		# calls itself what ours is called.
		pki_root public "/CN=Public CA" && pki_root twin "/CN=Client Intermediate" &&
		for ca in public twin; do
			pki_key by-$ca && openssl req -new -key by-$ca.key -subj /CN=alice -out by-$ca.csr &&
			openssl x509 -req -in by-$ca.csr -CA $ca.pem -CAkey $ca.key -CAcreateserial \
				-days 9 -extfile ca.cnf -extensions cli -out by-$ca-chain.pem || exit 1
		done
		openssl req -x509 -newkey rsa:2048 -nodes -keyout self.key -subj /CN=alice -out self-chain.pem &&
		openssl req -newkey rsa:1024 -nodes -keyout weak.key -subj /CN=alice -out weak.csr &&
		openssl ca -batch -config ca.cnf -in weak.csr -out weak-chain.pem -notext -extensions cli &&
		cat int.pem >> weak-chain.pem &&
		openssl req -x509 -newkey rsa:4104 -nodes -keyout huge.key -subj /CN=huge -out huge-chain.pem
	} >> pki.log 2>&1
) || bail "no certificates"
client_ca $PKI/ca.pem

export SSL_CERT_FILE=$PKI/public.pem
vpnd_up 'server { workers = 2 }
client_connection { dpd = 5 }' || bail "no vpnd"
unset SSL_CERT_FILE
user_add alice secret-a && user_add bob secret-b || bail "no users"

# ---- off

form=$(xml_init | xml_post /)
like "R73 off by default: the first answer is the credential form" "$form" '<form.*type="password"'
ok "R73 ... and a password is all it takes" client_up alice
asked() { in_client openssl s_client -connect "$SERVER:$PORT" < /dev/null 2>&1; }
unlike "R73 ... nobody is asked for a certificate" "$(asked)" 'Requested Signature Algorithms'
# It stays through all that follows.
before=$(session_get alice sid)

# ---- required

ok "a certificate is required from now on" vpnd_reload 'server { workers = 2 }
client_connection { dpd = 5 }
authentication { client_certificate = required }'

like "clients are asked for one in the handshake, and of which CA" "$(asked)" \
	'Acceptable client certificate CA names.CN = Client Root.*Requested Signature Algorithms'
forms() { grep -cE '<(form|input)' "$1"; }
# What a client with this certificate is told; and that it is told nothing else.
refused() { # REASON TEXT NS OPTIONS...
	client_try 10 alice@$3 --dump-http-traffic "${@:4}"
	[ "$CLIENT_RC" != 0 ] && client_log_has "Certificate Validation Failure: $2" $3 &&
		reason_is "$1" && [ "$(forms $LAB/$3.log)" = 0 ]
}
ok "R75 R76 no certificate: the client reports it, there is no form" refused cert_missing "no certificate" c2
ok "R75 R76 another CA of the same name" refused cert_untrusted "the certificate is not accepted" c2 $(cert by-twin)
ok "R75 R76 expired" refused cert_expired "the certificate has expired" c2 $(cert expired)
ok "R75 R76 not yet valid" refused cert_not_yet_valid "the certificate is not valid yet" c2 $(cert future)
ok "R82 serverAuth only" refused cert_purpose "the certificate is not made for clients" c2 $(cert notclient)
ok "R82 no extended key usage at all" refused cert_purpose "the certificate is not made for clients" c2 $(cert noeku)
ok "R75 R76 R78 wrong CA, one of the system's store" refused cert_untrusted "the certificate is not accepted" c2 $(cert by-public)
sent() { xml_init | xml_post / --cert $PKI/$1-chain.pem --key $PKI/$1.key; }
answer=$(sent by-public)
like "R78 a certificate of a public CA in the system's store is refused" "$answer" 'Certificate Validation Failure'
unlike "R75 ... before any form" "$answer" '<(form|input)'
ok "R78 ... as untrusted" reason_is cert_untrusted
like "R78 a self-signed one is refused" "$(sent self)" 'Certificate Validation Failure'
is "a key of more than 4096 bits ends the handshake" "$(sent huge)" ''
ok "... as an event" event_seen tls_reject
weak() {
	local doc; doc=$(xml_init)
	printf 'POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' ${#doc} "$doc" |
		tls_send -cipher DEFAULT@SECLEVEL=0 -cert $PKI/weak-chain.pem -cert_chain $PKI/int.pem -key $PKI/weak.key
}
like "a key of 1024 bits is refused" "$(weak)" 'Certificate Validation Failure'
ok "... for its size" event_seen auth_failure '.text | strings | contains("EE certificate key too weak")'
ok "every refusal is an event with the certificate in it" event_seen auth_failure \
	'.reason == "cert_expired" and .user == "expired" and (.text | contains("CN=expired"))'

answer=$(xml_init | xml_post /)
like "R75 who comes without is asked for a certificate" "$answer" '<client-cert-request>'
unlike "R75 ... and for nothing else" "$answer" '<(form|input|error)'
answer=$(xml_reply alice secret-a "$form" | xml_post /)
unlike "R75 a password without certificate leads nowhere, not even with a form of before" "$answer" '<form|session-token'
answer=$(https / -H 'X-Transcend-Version: 1' -A 'Open AnyConnect VPN Agent v9.01-3')
like "R76 the old flow is refused, too" "$answer" 'Certificate Validation Failure'
unlike "R75 ... without a form" "$answer" '<form'

answer=$(sent alice)
like "R77 R80 (local users) a good certificate gets the form" "$answer" '<form.*type="password"'
like "... with its name in it" "$answer" 'name="username"[^>]*value="alice"'
PASSWORD=wrong client_try 10 alice@c2 $(cert alice)
unset PASSWORD
ok "R77 a good certificate and a wrong password: refused" test "$CLIENT_RC" != 0
ok "R77 ... as a wrong password" reason_is wrong_password
ok "R77 both right: in" client_up alice@c2 $(cert alice)
ok "... with data" pings c2
ok "... the event names the certificate" event_seen auth_success '.user == "alice" and .text == "certificate of alice"'
client_down c2
ok "R77 from a .p12 file, too" client_up alice@c2 -c $PKI/alice.p12 -p p12pw
client_down c2
ok "with TLS 1.2" client_up alice@c2 --gnutls-priority 'NORMAL:-VERS-TLS1.3' $(cert alice)
client_down c2
ok "another user may type her name" client_up bob@c2 $(cert alice)
ok "... and the event shows both" event_seen auth_success '.user == "bob" and .text == "certificate of alice"'
client_down c2

# The steps of a login as a client makes them that presents its certificate once.
form=$(sent alice)
answer=$(xml_reply alice secret-a "$form" | xml_post /)
like "the certificate counts for the whole login" "$answer" '<session-token>'
token=$(grep -o '<session-token>[^<]*' <<< "$answer" | sed 's/.*>//')
like "none is needed for the tunnel" "$(raw_connect "$token")" '^HTTP/1.1 200'
answer=$(xml_reply alice secret-a "$form" | xml_post / --cert $PKI/expired-chain.pem --key $PKI/expired.key)
unlike "a bad one in a later step is refused" "$answer" '<session-token>'
many() { for _ in $(seq 12); do cat $PKI/alice-chain.pem; done; }
many > $PKI/many-chain.pem; cp $PKI/alice.key $PKI/many.key
answer=$(sent many)
unlike "a heap of certificates leads nowhere" "$answer" '<form|session-token'

ok "a session of before stays" pings
ok "... and reconnects without a certificate" tcp_reset
ok "... with its id" within 10 event_seen client_reconnected ".session == \"$before\""
is "... from the same" "$(ctl -j sessions | jq -r ".sessions[] | select(.sid == \"$before\") | .state")" connected
trouble_over
ok "... and works" within 5 pings
client_down
