#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 73-acme-hostile.t -- an authority that answers wrongly: nothing of it is served, the
# reason is told, and it is not asked again at once. It is a stand-in, tests/lib/hostile-acme.
# The same stand-in offers renewal information (RFC 9773), which pebble does not have.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/acme.sh"
lab_up || bail "no lab"
ca_keys && hasync_up || bail "no store"
mkdir $LAB/h
hostile_up() {
	(cd $LAB/h && exec nsenter --net=/run/netns/wan "$LAB_ROOT/tests/lib/hostile-acme" 192.0.2.1 14000 \
		$LAB/acme.pem $LAB/acme.key $LAB/tlsca.pem $LAB/tlsca.key vpn.test) > $LAB/hostile.log 2>&1 < /dev/null &
	disown
	within 15 wan_curl -o /dev/null -f $ACME_DIR
}
hostile_up || bail "no stand-in"
requests() { wc -l < $LAB/h/requests; }

acmed_up "$ACME_CONFIG" || bail "no acmed"
ok "as long as it behaves it is believed" within 10 acme_is live
first=$(serial)
serves_first() { [ "$(serial)" = "$first" ]; }
try() { # MODE WANTED-REASON
	echo $1 > $LAB/h/mode
	acme '{"cmd":"renew","force":true}' > /dev/null
	ok "$1: refused, and said why" within 10 acme_text_is "failed: .*$2.*next try"
	ok "$1: what is served stays" serves_first
}
try huge 'larger than 1 MiB'
try redirect 'redirects elsewhere \(302\): not followed'
n=$(requests)
try garbage 'cannot be understood'
try deep 'cannot be understood'
try http-url 'cannot be understood'
try no-nonce 'gives no nonce'
try other-authorization 'another name to be proved: bank.test'
try other-name 'for other names'
try other-key 'for another key'
try no-chain 'did not sign'
try expired 'expired'
try busy 'HTTP status 503'
ok "what it asked to wait is waited" test "$(acme_next_in)" -ge 590
n=$(requests)
ok "an order that does not come to an end is waited for" eval \
	'echo stuck > $LAB/h/mode; acme "{\"cmd\":\"renew\",\"force\":true}" && within 5 acme_is finalizing'
within 3 eval '[ "$(acme_get auto.text)" = finalizing ] && [ $(requests) -ge $((n + 6)) ]'
m=$(requests); sleep 2
ok "at a pace that grows" test $(($(requests) - m)) -le 4
is "what is served stays" "$(serial)" "$first"

# ---- the authority says when

echo none > $LAB/h/mode
window() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }
window_is() { echo "{\"suggestedWindow\":{\"start\":\"$(window "$1")\",\"end\":\"$(window "$2")\"}}" > $LAB/h/ari; }
window_is '+40 days' '+41 days'
acmed_down; acmed_up
between() { local r; r=$(acme_get auto.renewal); [ $r -ge $(date -d "$1" +%s) ] && [ $r -le $(date -d "$2" +%s) ]; }
ok "a suggested window of renewal is taken" within 5 between '+39 days' '+42 days'
window_is '-2 days' '-1 day'
acmed_down; acmed_up
ok "one that is over means now" within 8 serial_is_not "$first"
like "and the order says what it replaces" "$(tail -n 1 $LAB/h/orders)" '"replaces": "[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"'
n=$(grep -c . $LAB/h/orders); sleep 2.5
is "one that says so of every certificate does not have us order without end" \
	"$(grep -c . $LAB/h/orders)" "$n"
