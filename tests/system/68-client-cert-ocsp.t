#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 68-client-cert-ocsp.t -- OCSP for client certificates with openssl's responder in the
# LAN: good, revoked, unknown, silent, soft and hard.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
. "$(dirname "$0")/../lib/pki.sh"
lab_up || bail "no lab"
pki_up && for c in alice carol dora erin fred gina; do pki_issue $c || exit; done && pki_issue bare nosan &&
	pki_issue ocsp ocsp || bail "no certificates"
(OCSP_URL=http://ocsp.lan.test:2560/ask; export OCSP_URL; pki_issue named) || bail "no certificate"
client_ca $PKI/ca.pem
cp /etc/hosts $LAB/hosts && echo 10.10.0.100 ocsp.lan.test >> $LAB/hosts && mount --bind $LAB/hosts /etc/hosts
with() { echo "server { workers = 2 }
client_connection { dpd = 5 }
authentication { client_certificate = required client_ocsp = $1 }"; }
vpnd_up "$(with soft)" || bail "no vpnd"
user_add alice secret-a && user_add carol secret-c || bail "no users"
sent() { xml_init | xml_post / --cert $PKI/$1-chain.pem --key $PKI/$1.key; }
passes() { sent $1 | grep -q '<form'; }
refused() { ! passes $1 && reason_is $2; }
responder() { # [openssl ocsp options]
	(cd $PKI && exec nsenter --net=/run/netns/lan openssl ocsp -index index.txt -port 2560 -rsigner ocsp.pem \
		-rkey ocsp.key -CA int.pem "$@") > $LAB/ocsp.log 2>&1 < /dev/null &
	OCSP=$!
	disown
	within 5 eval '[ -n "$(in_lan ss -Hltn "sport = :2560")" ]'
}
responder_down() { kill $OCSP; within 3 test ! -e /proc/$OCSP; }
asked() { grep -c 'OCSP Response Data\|Serial Number' $LAB/ocsp.log; }

# ---- nobody answers

ok "soft, no responder: passes" passes alice
t=$(lab_now_ms)
ok "... and at once, for what is known to be silent" passes alice
ok "hard" vpnd_reload "$(with hard)"
ok "R76 hard, no responder: refused" refused alice cert_ocsp
ok "R76 hard, a certificate that names no responder: refused" refused bare cert_ocsp
in_lan nft add table inet hole && in_lan nft add chain inet hole in '{ type filter hook input priority 0; }' &&
	in_lan nft add rule inet hole in tcp dport 2560 drop
t=$(lab_now_ms)
ok "hard, a responder that says nothing: refused" refused gina cert_ocsp
t=$(($(lab_now_ms) - t))
ok "... within its time ($t ms)" test $t -ge 4000 -a $t -lt 8000
in_lan nft delete table inet hole

# ---- openssl's responder

pki_revoke carol
ok "a responder starts" responder -nmin 5
ok "a good certificate passes, with openconnect" client_up alice $(OCSP_URL= cert dora)
client_down
ok "R76 a revoked one is refused" refused carol cert_revoked
client_try 10 carol $(cert carol)
ok "R76 ... the client reports it" client_log_has 'Certificate Validation Failure: the certificate is revoked'
ok "a responder that is named by name" passes named
ok "soft again" vpnd_reload "$(with soft)"
ok "R76 the revoked one is refused as well" refused carol cert_revoked
responder_down
ok "what a responder said is kept while it holds" eval 'passes dora && refused carol cert_revoked'
(cd $PKI && grep -v CN=erin index.txt > i && cp i index.txt)
ok "a responder that does not know all" responder -nmin 5
ok "R76 soft, unknown to its responder: refused" refused erin cert_ocsp
responder_down
# Signed by somebody else: as good as no answer.
(cd $PKI && pki_root liar /CN=Liar >> pki.log 2>&1)
(cd $PKI && cp ocsp.pem ocsp.was && cp ocsp.key ocsp.key.was && cp liar.pem ocsp.pem && cp liar.key ocsp.key)
ok "a responder with a key of its own" responder -nmin 5
ok "hard" vpnd_reload "$(with hard)"
ok "R76 ... is not believed" refused fred cert_ocsp
responder_down
