#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 78-cert-pair.t -- each node of a pair has its own key, request and certificate; the
# administrator may stand at either; a client trusts both by the name they share.
. "$(dirname "$0")/../lib/pair.sh"
. "$(dirname "$0")/../lib/certs.sh"
PKI=$LAB
pair_config() { # METHOD
	echo "server {
	workers = 2
	hostname = \"vpn.example\"
}
certificate { method = $1 }"
}
pair_up "$(pair_config custom)" || bail "no pair"
for n in a b; do service_up $n acmed; done
for n in a b; do within 10 ctl_on $n cert status || bail "no acmed on $n"; done
refused() { # NAME RE NODE CMD...
	local name=$1 re=$2; shift 2
	SAID=$(ctl_on "$@" 2>&1); local rc=$?
	[ $rc != 0 ] && [[ $SAID =~ $re ]]
	lab_result $? "$name" || note "exit $rc, said: ${SAID:0:400}"
}
csr() { # ADMIN'S-NODE SLOT CN: into SLOT.csr
	ctl_on $1 cert csr --node $2 --common-name $3 --ip 192.0.2.10 > "$LAB/$2.csr"
}
shown_by() { ctl_on $1 -j status | jq -r .certificate.subject; }
shows() { [ "$(shown_by $1)" = "CN=$2" ]; }
wire() { in_client timeout 5 openssl s_client -connect 192.0.2.10:443 -CAfile "$LAB/ca.pem" \
	-verify_return_error -verify_hostname vpn.example < /dev/null 2> /dev/null | openssl x509 -noout -subject -nameopt multiline 2> /dev/null | sed -n 's/ *commonName *= //p'; }
wire_is() { [ "$(wire)" = $1 ]; }

self_same() { local x; x=$(shown_by a); [ "$x" = CN=vpn.example ] && [ "$(ctl_on a -j status | jq -r .certificate.sha256)" = "$(ctl_on b -j status | jq -r .certificate.sha256)" ]; }
ok "before an upload both serve the same self-signed one" within 10 self_same
like "R64 a pair has both slots" "$(ctl_on a cert status)" 'primary +action needed.*spare +action needed'
bg_ns a tcpdump -Z root -qni hb -s 0 -U -w "$LAB/sync.pcap" > /dev/null 2>&1; disown
ok "R63 the primary's request, asked for at the primary" csr a primary a.example
ok "R63 the spare's, asked for at the primary too" csr a spare b.example
is "R66 their keys differ" "$(openssl req -in "$LAB/primary.csr" -pubkey -noout | cmp -s - <(openssl req -in "$LAB/spare.csr" -pubkey -noout); echo $?)" 1
like "R169 each names what both are called" "$(for s in primary spare; do openssl req -in "$LAB/$s.csr" -noout -text; done | grep -c DNS:vpn.example)" 2
refused "R65 the same common name on both" 'Common name: the primary has .a.example. already' a cert csr --node spare --common-name A.example
refused "R65 from the other side" 'Common name: the spare has' b cert csr --node primary --common-name b.example
is "R65 nothing was written" "$(ctl_on b cert csr --node spare --show)" "$(cat "$LAB/spare.csr")"
is "R63 either node shows either request" "$(ctl_on b cert csr --node primary --show)" "$(cat "$LAB/primary.csr")"
keys() { in_node $1 ls /var/lib/tandem/certs | grep -c 'key$'; }
is "R51 each node has its one key" "$(keys a)$(keys b)" 11

pki_sign primary ca "$LAB/primary.csr"; pki_sign spare ca "$LAB/spare.csr"
for n in a b; do for f in primary spare ca; do in_node $n sh -c "cat > /run/$f.pem" < "$LAB/$f.pem"; done; done
refused "R57 the other node's certificate" 'does not belong to the current CSR' a cert upload --node primary /run/spare.pem /run/ca.pem
like "R63 the spare's, uploaded at the primary" "$(ctl_on a cert upload --node spare /run/spare.pem /run/ca.pem)" 'accepted: the spare'
like "R63 the primary's, uploaded at the spare" "$(ctl_on b cert upload --node primary /run/primary.pem /run/ca.pem)" 'accepted: the primary'
ok "R63 R167 the primary serves its own" within 5 shows a a.example
ok "R63 R167 the spare serves its own" within 5 shows b b.example
both_seen() { local s; s=$(ctl_on $1 cert status); [[ $s == *primary*a*custom*lab-ca* && $s == *spare*b*custom*lab-ca* ]]; }
for n in a b; do ok "R161 seen from $n: both, with issuer" within 5 both_seen $n; done
print=$(ctl_on a -j cert show --node spare | jq -r .live.sha256)
is "R161 the other node's is to be read too" "$print" "$(ctl_on b -j status | jq -r .certificate.sha256)"

# ---- a client that trusts the authority and dials the name
SERVER=vpn.example
user_add user1 "horse 1"
ok "R169 a client that dials the name" client_up user1@c1 --resolve=vpn.example:192.0.2.10
clients_remember c1
flow_start c1
ok "the active node's is on the wire" within 5 wire_is a.example
ctl_on a node standby > /dev/null
ok "the service moves" within 15 is_active b
ok "R169 the new one is trusted by the same name" within 5 wire_is b.example
ok "R169 the client is back without a login" within 15 in_ns c1 ping -c1 -W1 10.10.0.100
ok "... the same client" clients_same c1
unlike "... and its certificate check passed" "$(cat "$LAB/c1.log")" 'certificate verify failed'

# ---- the other node is not there
service_down a acmed
refused "a node that is away makes no request" 'the primary does not answer' b cert csr --node primary --common-name c.example
service_up a acmed
within 5 ctl_on a cert status
within 2 false
is "... nor later, when it is back" "$(ctl_on b cert csr --node primary --show)" "$(cat "$LAB/primary.csr")"
# One that dies in the middle: either the old request stands, or the new one, with its key.
for i in 1 2 3; do
	ctl_on b cert csr --node primary --common-name d$i.example > /dev/null 2>&1 &
	sleep 0.0$((i * 2)); kill9 a acmed; wait $!
done
consistent() {
	local k
	k=$(in_node a openssl pkey -in /var/lib/tandem/certs/custom-next.key -pubout 2> /dev/null) &&
		[ "$(ctl_on b cert csr --node primary --show | openssl req -pubkey -noout)" = "$k" ] ||
		ctl_on b cert csr --node primary --show 2>&1 | grep -q 'no signing request'
}
ok "kill -9 while a request is made: key and request belong together" within 10 consistent
ok "... and what is served is still served" shows a a.example

unlike "R51 no private key is in the stores, logs or configurations of either" \
	"$(for n in a b; do in_node $n sh -c 'cat /var/lib/tandem/cluster/* /var/lib/tandem/running/* /etc/tandem/*.conf'; done | tr -d '\0'; cat "$LAB"/*.log)" 'PRIVATE KEY'
ok "R51 nor on the wire between them ($(stat -c %s "$LAB/sync.pcap") bytes)" eval '[ -s "$LAB/sync.pcap" ] && ! grep -qaE "PRIVATE KEY|BEGIN" "$LAB/sync.pcap"'

# ---- back to auto
fails "... which were there" gone a
pair_config auto | in_node b sh -c 'cat > /etc/tandem/tandem.conf'
ctl_on b config apply > "$LAB/said" 2>&1
# What was removed leaves a file that says so (and one of before, for a crash in between).
gone() { ! in_node $1 sh -c 'ls /var/lib/tandem/certs/custom* ||
	grep -al BEGIN /var/lib/tandem/cluster/cert+primary /var/lib/tandem/cluster/cert+spare /var/lib/tandem/cluster/csr+primary /var/lib/tandem/cluster/csr+spare'; }
for n in a b; do ok "R67 back to auto: uploads, requests and keys are gone on $n" within 10 gone $n; done
ok "R67 both serve the same self-signed one until auto has one" within 10 self_same
for n in a b; do is "R41 nothing died on $n" "$(ctl_on $n -j events --last 500 | jq '[.events[] | select(.event == "process_died")] | length')" 0; done
