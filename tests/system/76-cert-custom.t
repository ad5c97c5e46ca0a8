#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 76-cert-custom.t -- an administrator's own certificate: request, upload, and what is
# said about each file that will not do; what is served never suffers.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/certs.sh"
lab_up || bail "no lab"
NAME=vpn.example.test
CONFIG="server { workers = 2  hostname = $NAME }
certificate { method = custom }"
certs_up "$CONFIG" || bail "no gateway: $(tail -n 3 "$LAB/acmed.log")"
W=$LAB/work; mkdir -p "$W"; cd "$W"
sum_live() { sha256sum "$LAB"/state/certs/{live,custom}.pem 2> /dev/null; }
refused() { # NAME RE CMD...: and what is active does not change
	local name=$1 re=$2; shift 2
	local was; was=$(sum_live)
	SAID=$(ctl "$@" 2>&1); local rc=$?
	[ $rc != 0 ] && [[ $SAID =~ $re ]] && [ "$(sum_live)" = "$was" ]
	lab_result $? "$name" || { note "exit $rc, said: ${SAID:0:400}"; note "want: $re"; }
}
CSR=(cert csr --common-name $NAME)

# ---- the request
own=$(served) own_pin=$(server_pin)
cert status
like "R68 without an upload the status says what to do" "$SAID" 'action needed: generate a CSR'
pki_root Root && pki_ca Inter Root && pki_root Root2 || bail "no authorities"
pki_cert stranger Inter DNS:$NAME
refused "R57 an upload before any CSR" 'no signing request: generate a CSR' cert upload "$PKI/stranger.pem" "$PKI/Root.pem"
ctl "${CSR[@]}" --host alt.example.test --host b.example.test --ip 192.0.2.10 --ip 2001:db8:1::10 \
	--organization "Acme, Inc." --unit Ops --email ops@example.test --state Bayern --country DE \
	--out full.csr > /dev/null
text=$(openssl req -in full.csr -noout -text -nameopt multiline)
for want in "commonName *= $NAME" "DNS:alt.example.test, DNS:b.example.test" "IP Address:192.0.2.10, IP Address:2001:DB8:1:" \
	"organizationName *= Acme, Inc." "organizationalUnitName *= Ops" "emailAddress *= ops@example.test" \
	"stateOrProvinceName *= Bayern" "countryName *= DE" "TLS Web Server Authentication"; do
	like "R49 the CSR has $want" "$text" "$want"
done
like "what clients dial is a name of it" "$text" "DNS:$NAME"
unlike "R70 it does not ask for clientAuth" "$text" 'Client Authentication'
ok "its signature is right" openssl req -in full.csr -noout -verify
is "--show prints the current one" "$(ctl cert csr --show)" "$(cat full.csr)"
sum=$(cat "$LAB/state/certs/custom-next.key" "$LAB/state"/cluster/csr* | sha256sum)
refused "R50 no common name" 'Common name: is required' cert csr
refused "R50 R61 a wildcard" "Common name: '\*.x.test': wildcards are not supported" cert csr --common-name '*.x.test'
refused "R50 R61 a wildcard among the names" 'Subject Alt Name \(Hostnames\): .*wildcards' "${CSR[@]}" --host '*.x.test'
refused "R50 a name" 'Subject Alt Name \(Hostnames\):' "${CSR[@]}" --host 'a b'
refused "R50 an address" "Subject Alt Name \(IPs\): '300.1.1.1'" "${CSR[@]}" --ip 300.1.1.1
refused "R50 a country" 'Country Code: must be two letters' "${CSR[@]}" --country DEU
refused "R50 a mail address" 'Email Address:' "${CSR[@]}" --email nobody
refused "R50 an organization" 'Organization: is longer' "${CSR[@]}" --organization "$(printf 'x%.0s' {1..65})"
refused "R64 there is no spare alone" 'there is no spare' "${CSR[@]}" --node spare
is "R50 nothing was written" "$(cat "$LAB/state/certs/custom-next.key" "$LAB/state"/cluster/csr* | sha256sum)" "$sum"

# ---- a good one
pki_sign good Inter full.csr
cat "$PKI/Inter.pem" "$PKI/Root.pem" > chain.pem
cp "$PKI/good.pem" good.crt
cert upload good.crt chain.pem
like "R52 R53 PEM is accepted, .crt too" "$SAID" 'accepted: the primary serves it now'
ok "R52 it is served" within 3 served_is Inter
ok "R45 its root verifies what is served" eval 'ctl cert show --root > root.pem && in_client openssl s_client -connect $SERVER:443 -CAfile root.pem -verify_return_error -verify_hostname $NAME'
cert show --chain
like "R45 issuer and root are to be read" "$SAID" 'issuer +Inter.*root +Root'
is "... with the whole chain" "$(grep -c 'BEGIN CERT' <<< "$SAID")" 3
is "R161 status and the wire agree" "$(ctl -j cert status | jq -r .nodes.primary.live.serial | tr a-f A-F)" \
	"$(in_client openssl s_client -connect $SERVER:443 < /dev/null 2> /dev/null | openssl x509 -noout -serial | cut -d= -f2)"
cert status
like "R161 with issuer and end" "$SAID" "primary .* custom +Inter +.*$NAME.* \\((89|90) days\\)"
print=$(served_pin=$(server_pin); echo "$served_pin")
PIN=$print
user_add alice secret-a
ok "a client" client_up alice
echoes_start c1

# ---- the matrix: what each file is refused for
still() { [ "$(server_pin)" = "$print" ]; }
D() { refused "$2" "$3" cert upload "$1" chain.pem; } # device file
C() { refused "$2" "$3" cert upload good.crt "$1"; }  # chain file
FAILED='^vpnctl: Failed verifying Device Cert with Cert Chain$'
: > empty; echo hello > text; head -c 70000 /dev/urandom > large; head -c 4096 /dev/urandom > noise
openssl x509 -in good.crt -outform der -out der
openssl pkcs12 -export -inkey "$PKI/stranger.key" -in "$PKI/stranger.pem" -passout pass:x -out p12
openssl crl2pkcs7 -nocrl -certfile good.crt -out p7.pem; openssl crl2pkcs7 -nocrl -certfile good.crt -outform der -out p7.der
cat "$PKI/stranger.key" good.crt > both
openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes128 -passout pass:x -out enc.key 2> /dev/null
sed '5d' good.crt > damaged; head -c 400 good.crt > cut
openssl pkey -in "$PKI/stranger.key" -pubout -out pub
for f in empty:empty text:'no PEM' large:'more than 65536' noise:'no PEM' der:'DER form' p12:'PKCS#12' \
	p7.pem:'PKCS#7' p7.der:'PKCS#7' both:'private key' enc.key:'private key' \
	full.csr:'signing request' damaged:damaged cut:damaged pub:'no PEM'; do
	D ${f%%:*} "R52 device: ${f%%:*}" "Device certificate: .*${f#*:}"
	C ${f%%:*} "R53 chain: ${f%%:*}" "CA certificate: .*${f#*:}"
done
cat good.crt chain.pem > full.pem
D full.pem "R52 device with its chain" 'must hold the device.s alone'
D "$PKI/Inter.pem" "R52 the files exchanged" 'were the two files exchanged'
for i in 1 2 3 4 5 6 7 8 9; do cat "$PKI/Root.pem"; done > nine
C nine "R53 too many certificates" 'more than 8 certificates'
C "$PKI/Root.pem" "R54 the intermediate left out" "$FAILED"
cat "$PKI/Inter.pem" "$PKI/Root2.pem" > x; C x "R54 a wrong root" "$FAILED"
C "$PKI/Inter.pem" "R55 no root at the end" "$FAILED"
C "$PKI/Root2.pem" "R56 another authority" "$FAILED"
C "$PKI/stranger.pem" "R54 a leaf as chain" "$FAILED"
pki_ca Old Root -days -1 2> /dev/null || faketime -f -30d bash -c ". $LAB_ROOT/tests/lib/certs.sh; pki_ca Old Root -days 1"
faketime -f -30d openssl x509 -req -in "$PKI/Old.csr" -CA "$PKI/Root.pem" -CAkey "$PKI/Root.key" -set_serial 77 -days 1 \
	-extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n') -out "$PKI/Old.pem" 2> /dev/null
pki_sign oldca Old full.csr; cat "$PKI/Old.pem" "$PKI/Root.pem" > x
refused "R54 an expired authority" "$FAILED" cert upload "$PKI/oldca.pem" x
cp "$PKI/Inter.key" "$PKI/Fake.key"; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout x.key \
	-subj /CN=Inter -days 9 -out x 2> /dev/null
C x "R56 another authority of the same name" "$FAILED"
D "$PKI/stranger.pem" "R57 a certificate for another key" 'does not belong to the current CSR of this node: generate a new CSR'
cp full.csr wild.csr
pki_issue wild Inter "${PKI_LEAF}subjectAltName=DNS:*.example.test\n" full.csr -days 9
D "$PKI/wild.pem" "R61 a wildcard" 'wildcard certificates are not supported'
pki_issue client Inter 'extendedKeyUsage=clientAuth\n' full.csr -days 9
D "$PKI/client.pem" "R70 one for clients" 'has no serverAuth'
faketime -f -90d openssl x509 -req -in full.csr -CA "$PKI/Inter.pem" -CAkey "$PKI/Inter.key" -set_serial 78 -days 30 -out expired 2> /dev/null
D expired "R72 an expired one, with its dates" 'has expired: it was valid from 20[0-9-]+ .* until 20[0-9-]+ '
faketime -f +90d openssl x509 -req -in full.csr -CA "$PKI/Inter.pem" -CAkey "$PKI/Inter.key" -set_serial 79 -days 30 -out future 2> /dev/null
D future "R72 one of the future, with its dates" 'not valid yet: it is valid from 20[0-9-]+ '
refused "a file that is not there" 'No such file' cert upload nowhere chain.pem
ok "R54 the active one is still served" still
fails "no refused file is in the store" grep -qaF -e "$(sed -n 3p expired)" -e "$(sed -n 3p future)" "$LAB/state"/cluster/*

# ---- accepted, but
pki_issue other Inter "${PKI_LEAF}subjectAltName=DNS:else.example.test\n" full.csr -days 90
cert upload "$PKI/other.pem" chain.pem
like "R60 a name is missing: accepted with a warning" "$SAID" "accepted.*warning: the certificate does not name $NAME"
diagnosed() { ctl cert diagnose | grep -qE "FAIL +name, not address +the certificate does not name $NAME"; }
ok "R44 diagnose names it" within 3 diagnosed
pki_sign soon Inter full.csr -days 20
cert upload "$PKI/soon.pem" chain.pem
expiring() { [ "$(ctl events --last 50 | grep -c cert_expiring)" -gt 0 ]; }
ok "R62 twenty days left: an event warns" within 5 expiring
is "R62 nothing replaces it" "$(ctl -j cert status | jq -r .nodes.primary.live.issuer)" Inter

# ---- a new CSR overrides the old one; what is served works on
print=$(server_pin)
ctl "${CSR[@]}" --out b.csr > /dev/null
refused "R58 a certificate for the CSR before" 'generate a new CSR' cert upload good.crt chain.pem
ok "R58 the active one is still served" still
cert status
like "the status tells of the newer CSR" "$SAID" 'a newer CSR waits'
pki_sign b Inter b.csr
cert upload "$PKI/b.pem" chain.pem
like "R58 R59 one for the new CSR, after the refusals" "$SAID" accepted
unstill() { ! still; }
ok "... is served" within 3 unstill
is "R66 with the new key" "$(openssl pkey -in "$LAB/state/certs/custom-next.key" -pubout)" "$(openssl x509 -in "$PKI/b.pem" -pubkey -noout)"
print=$(server_pin)
acmed_down; kill -9 $acmed_pid 2> /dev/null
chown 4711 "$LAB"/state/certs/*; acmed_up; within 1 false
ok "acmed starts again, with another number for its user: the same is served" still
is "... and the request is the same" "$(ctl cert csr --show)" "$(cat b.csr)"

is "R51 files with keys are for their owner alone" "$(find "$LAB/state/certs" -name '*.key' -o -name '*.pem' | xargs stat -c %a | sort -u)" 600

# ---- R74: the client CA
for f in empty text der p12 both stranger; do
	[ $f = stranger ] && cp "$PKI/stranger.pem" stranger
	refused "R74 client CA: $f" 'Client CA: ' cert client-ca upload $f
done
cp "$PKI/Root2.pem" root2.crt
cert client-ca upload root2.crt
like "R74 a root is accepted" "$SAID" accepted
ca_is() { cmp -s "$LAB/state/certs/client-ca.pem" "$1"; }
ok "R74 and put where vpnd finds it" within 3 ca_is root2.crt
cert client-ca show
like "... and shown" "$SAID" 'subject +Root2'
cert client-ca remove
ca_gone() { [ ! -e "$LAB/state/certs/client-ca.pem" ]; }
ok "... and removed" within 3 ca_gone

# ---- methods
vpnd_reload "server { workers = 2  hostname = $NAME }
certificate { method = self-signed }" > "$W/said" 2>&1
like "R69 choosing self-signed warns" "$(cat "$W/said"; "$TANDEM_BIN/vpnd" -t -f "$LAB/tandem.conf" -n "$LAB/node.conf")" 'self-signed is for tests only'
self_said() { ctl cert status | grep -q 'for tests only'; }
ok "R69 status marks it" within 3 self_said
ok "... and vpnd's own is served" within 3 served_is "$own"
vpnd_reload "$CONFIG" > /dev/null
ok "back to custom: the upload is still there" within 3 served_is Inter
files_gone() { ! ls "$LAB/state/certs"/custom* && ! grep -al BEGIN "$LAB/state"/cluster/{cert,csr}+primary; }
fails "R67 key, upload and request are there" files_gone
vpnd_reload "server { workers = 2  hostname = $NAME }
certificate { method = auto }" > /dev/null
ok "R67 back to auto: self-signed takes over" within 3 served_is "$own"
ok "R67 key, upload and request are deleted" within 3 files_gone
refused "... and none is accepted" 'certificate.method is auto: set it to custom first' "${CSR[@]}"
vpnd_reload "$CONFIG" > /dev/null; within 1 false
cert status
like "R67 switching back asks for an upload" "$SAID" 'action needed'

# ---- factory reset
ctl "${CSR[@]}" --out c.csr > /dev/null
pki_sign c Inter c.csr; cert upload "$PKI/c.pem" chain.pem
ok "served again" within 3 served_is Inter
refused "R68 factory-reset wants to be sure" 'say --yes' factory-reset
ctl factory-reset --yes > /dev/null
ok "R68 then it is not served any more" within 3 served_is "$own"
other_own() { served_is "$own" && [ "$(server_pin)" != "$own_pin" ]; }
ok "R68 what is served has another key than at the first start" within 3 other_own
own_pin=$(server_pin)
ctl factory-reset --yes > /dev/null
ok "R68 also when it is served already" within 3 other_own
cert status
like "R68 the status says so" "$SAID" 'action needed'
ctl "${CSR[@]}" --out d.csr > /dev/null
ok "R68 a new CSR has another key" eval '[ "$(openssl req -in c.csr -pubkey -noout)" != "$(openssl req -in d.csr -pubkey -noout)" ]'
refused "R68 the old certificate is refused" 'generate a new CSR' cert upload "$PKI/c.pem" chain.pem
rm "$LAB/state/certs/custom-next.key"; within 2 false
refused "R68 so it is when the device was replaced" 'no signing request' cert upload "$PKI/c.pem" chain.pem

is "no echo was lost in all this" "$(echoes_lost c1)" 0
is "no process was restarted" "$(event_count process_died)" 0
unlike "R51 no private key is in store, running configuration and logs" \
	"$(cat "$LAB/state"/cluster/* "$LAB/state"/running/* "$LAB"/*.log | tr -d '\0')" 'PRIVATE KEY'
