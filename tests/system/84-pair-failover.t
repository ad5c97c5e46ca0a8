#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 84-pair-failover.t -- the service moves or dies, clients stay: no login, the same
# inner address, a certificate of the other node that they trust (R162, R164, R168,
# R169, R171, R172)
. "$(dirname "$0")/../lib/pair.sh"
plan 33

ok "the site is up" pair_up
C="c1 c2 c3 c4"
ok "four clients connect" clients_up 4
flow_start $C
ok "traffic flows" within 5 flows $C
both_know() { [ "$(info a 'counts | [.[].connected] | add')" = 4 ] && [ "$(info b 'counts | [.[].connected] | add')" = 4 ]; }
ok "R168 both nodes know the sum" within 5 both_know
trusted() { # by who dials the name; the certificate itself is NODE's
	in_ns c1 timeout 5 openssl s_client -connect $SERVER:443 -CAfile "$LAB/ca.pem" -verify_return_error \
		-verify_hostname vpn.example < /dev/null 2> /dev/null | openssl x509 -noout -subject | grep "$1.example"
}
ok "R169 a's certificate is trusted for the name" trusted a
unlike "R169 the nodes have two certificates" "$(cmp "$LAB/a.pem" "$LAB/b.pem")" '^$'
holders_start

event() { # NAME NEW-ACTIVE MAX-MS CMD...: a client may be out for so long
	local name=$1 to=$2 max=$3 t0 n out worst=0; shift 3
	clients_remember $C
	t0=$EPOCHREALTIME
	ok "$name" "$@"
	ok "$to has the addresses" within 10 holds $to
	ok "traffic flows again" within 20 flows $C
	sleep 0.3
	for n in $C; do out=$(flow_outage $n $t0); [ $out -le $worst ] || worst=$out; done
	note "longest outage $worst ms"
	ok "nobody was out for longer than $max ms" below $worst $max
	ok "R162 R171 no login, the same addresses" clients_same $C
}
# Bounds are several times what is measured: two busy cores, other tests beside.
event "planned: a to b" b 3000 ctl_on a node standby
ok "R168 both nodes know the sum" within 5 both_know
ok "R169 b's certificate is trusted for the same name" trusted b
event "planned: back again at once" a 3000 ctl_on a node activate
ok "b is ready" within 10 settled
event "all of vpnd on a: kill -9" b 5000 kill9 a vpnd
ok "a is ready again" within 15 settled
ok "R172 nothing moves back" stays b 1
ok "R168 both nodes know the sum" within 5 both_know
event "vpnd's parent on b: kill -9" a 5000 sh -c "nsenter -t $(cat "$LAB/b.init") -p -m kill -9 $(vpnd_process b parent)"
holders_stop
ok "R164 nobody held an address for longer than two took to hand it over" below $HELD_NONE 1500
