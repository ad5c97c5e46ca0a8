#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 77-cert-diagnose.t -- why clients do not trust the server: each precondition is broken
# in turn, and diagnose names it with what to do next.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/certs.sh"
lab_up || bail "no lab"
# The system's names, as this test wants them.
cp /etc/hosts "$LAB/hosts"; mount --bind "$LAB/hosts" /etc/hosts
printf 'hosts: files\n' > "$LAB/nsswitch"; mount --bind "$LAB/nsswitch" /etc/nsswitch.conf
resolves() { { echo 127.0.0.1 localhost; [ -z "$1" ] || echo "$1 vpn.test"; } > "$LAB/hosts"; }
in_gw_cert() { ip netns exec gw timeout 10 "$TANDEM_BIN/vpnctl" -S "$LAB/run/vpnd.sock" cert "$@"; }
said() { SAID=$(in_gw_cert diagnose 2>&1); [[ $SAID =~ $1 ]]; }
diagnosed() { # NAME RE
	within 5 said "$2"; said "$2"; lab_result $? "$1" || note "said: $SAID"
}
config() { echo "server { workers = 1  $1 }
certificate { method = ${2-custom} }"; }
resolves 192.0.2.10
certs_up "$(config 'hostname = vpn.test')" || bail "no gateway"
bg_ns gw "$TANDEM_BIN/ddnsd" $(vpnd_args) --pair-key "$LAB/pair.key" >> "$LAB/ddnsd.log" 2>&1
ddnsd=$BG; disown
pki_root Root && pki_ca Inter Root
cat "$PKI/Inter.pem" "$PKI/Root.pem" > "$LAB/chain.pem"
ctl cert csr --common-name vpn.test --out "$LAB/x.csr" > /dev/null
diagnosed "R44 R40 self-signed: that is why they are untrusted" 'FAIL +trusted issuer .*Untrusted Server Certificate.*next'
pki_sign x Inter "$LAB/x.csr"
ctl cert upload "$PKI/x.pem" "$LAB/chain.pem" > /dev/null
good() { in_gw_cert diagnose; }
ok "R44 all is well: it says so, exit 0" within 5 good
in_gw_cert diagnose > "$LAB/said"
for what in 'service' 'node online .*active' 'dynamic DNS' 'trusted issuer +issued by Inter' 'name resolves +vpn.test resolves to this node' \
	'name, not address .*have to dial the name' "root +devices that do not have 'Root' .*cert show --root"; do
	like "R44 pass: ${what%% *}" "$(cat "$LAB/said")" "pass +$what"
done
is "R44 the same as JSON" "$(ip netns exec gw "$TANDEM_BIN/vpnctl" -S "$LAB/run/vpnd.sock" -j cert diagnose | jq -c '[.failed, (.checks | all(.ok))]')" '[0,true]'
resolves 198.51.100.77
diagnosed "R44 another address" 'FAIL +name resolves +vpn.test resolves to 198.51.100.77, which is no address of this node.*next +behind NAT'
resolves
diagnosed "R44 no address" 'FAIL +name resolves +vpn.test does not resolve.*next'
resolves 192.0.2.10
vpnd_reload "$(config 'hostname = other.test')" > /dev/null
diagnosed "R44 a name that the certificate does not have" 'FAIL +name, not address +the certificate does not name other.test'
vpnd_reload "$(config '')" > /dev/null
diagnosed "R44 no hostname" 'FAIL +hostname .*next +set server.hostname'
vpnd_reload "$(config 'enabled = false')" > /dev/null
diagnosed "R44 the service is off" 'FAIL +service +vpnd runs, but listens nowhere.*server.enabled'
vpnd_reload "$(config 'hostname = vpn.test' auto)" > /dev/null
diagnosed "R44 R27 auto without dynamic DNS" 'FAIL +dynamic DNS +no section ddns keeps the record.*next +add a section ddns'
kill $ddnsd
diagnosed "R44 R27 auto without ddnsd" 'FAIL +dynamic DNS +ddnsd does not answer.*next +start it'
like "R27 R40 status says what is served meanwhile, and what enrolment waits for" "$(ctl cert status)" 'enrolment +waiting for a ddns section.*primary +[a-z]+ +self-signed'
pkill -x hasync; within 3 false
diagnosed "R44 the node is not online" 'FAIL +node online +hasync does not answer.*next +start hasync'
acmed_down
diagnosed "R44 acmed is not there" 'FAIL +acmed .*systemctl start tandem-acme'
vpnd_stop
diagnosed "R44 vpnd is not there" 'FAIL +service +vpnd does not answer.*systemctl start vpnd'
fails "exit status says that something is wrong" in_gw_cert diagnose
