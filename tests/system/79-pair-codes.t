#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 79-pair-codes.t -- second factors of a pair: sealed on both disks, good for a login on
# either node, and each code once, whatever restarts or moves in between
. "$(dirname "$0")/../lib/pair.sh"
. "$(dirname "$0")/../lib/raw.sh"
plan 19

ok "the site is up" pair_up
added=$(echo secret | ctl user add tess --password-stdin --totp)
like "a user with a one-time code is stored on both" "$added" 'added, durable on 2 nodes'
secret=$(sed -n 's/^TOTP secret.*: //p' <<< "$added")
like "... whose secret is shown once" "$secret" '^[A-Z2-7]{32}$'
like "so is a change" "$(ctl user disable tess; ctl user enable tess)" 'enabled, durable on 2 nodes'
for n in a b; do
	ok "on $n's disk it is sealed, nowhere in the clear" eval \
		'within 5 grep -rqs sealed: "$LAB/disk.$n" && ! grep -rqs "$secret" "$LAB/disk.$n"'
	ok "$n has the user" within 5 eval 'ctl_on $n user list | grep -q "tess.*yes"'
done

challenge() { raw_login tess secret; }
code() { oathtool --totp -b --now "$(date -u -d "${1:-0} seconds" '+%F %T UTC')" "$secret"; }
try() { # CODE: the answer to the challenge
	local opaque; opaque=$(tr -d '\n' <<< "$question" | grep -o '<opaque.*</opaque>')
	echo "<config-auth client=\"vpn\" type=\"auth-reply\" aggregate-auth-version=\"2\"><version who=\"vpn\">v9.01-3</version><device-id>linux-64</device-id>$opaque<auth><answer>$1</answer></auth></config-auth>" | xml_post /
}
in_time() { until [ $((EPOCHSECONDS % 30)) -lt 15 ]; do sleep 0.5; done; }

client_net 1; in_client() { in_ns c1 "$@"; }
in_time
question=$(challenge)
like "the password leads to the code" "$question" 'name="answer"'
now=$(code) next=$(code 30)
like "the code to a token" "$(try $now)" '<session-token>'
question=$(challenge)
unlike "once" "$(try $now)" '<session-token>'
n=$(active)
in_node $n kill -9 $(vpnd_process $n auth)
ok "auth is restarted" within 5 eval '[ -n "$(vpnd_process $n auth)" ]'
ok "... and asks again" within 5 eval 'question=$(challenge); grep -q "name=\"answer\"" <<< "$question"'
unlike "... it knows that the code was used" "$(try $now)" '<session-token>'
ok "the other node takes over" eval 'ctl_on $n node standby && within 10 moved_to $(other $n)'
ok "... and asks" within 5 eval 'question=$(challenge); grep -q "name=\"answer\"" <<< "$question"'
unlike "... it knows so, too" "$(try $now)" '<session-token>'
like "... and takes the next one" "$(try $next)" '<session-token>'
unlike "no log has the secret" "$(cat "$LAB"/*.log "$LAB"/disk.*/log/*.log 2> /dev/null)" "$secret"
