#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 88-pair-sessions.t -- what one node has ended the other refuses; users and their
# passwords are the same on both; the limit is a node's own (R147, R166, R168)
. "$(dirname "$0")/../lib/pair.sh"
plan 21

ok "the site is up, limit 2 per node" pair_up "${PAIR_CONFIG/workers = 2/workers = 2
	session_limit = 2}"
ok "two clients connect" clients_up 2
user_add user3 'horse 3'
client_try 10 user3@c3
ok "a third is one too many" test "$CLIENT_RC" -ne 0
ok "b knows the count" within 5 eval '[ "$(info b "counts.a.connected")" = 2 ]'
clients_remember c1 c2
ok "at the limit both move to b" eval 'ctl_on a node standby && flow_start c1 c2 && within 20 flows c1 c2'
ok "no login, the same addresses" clients_same c1 c2
ok "the sum is right" within 5 eval '[ "$(info a "counts | [.[].connected] | add")" = 2 ]'
client_try 10 user3@c3
ok "the limit is b's, too" test "$CLIENT_RC" -ne 0

# Kicked on b: the token is refused on a.
cookie_of() { sed -n 's/^COOKIE=//p' "$LAB/$1.cookie"; }
id=$(ctl_on b -j sessions | jq -r '.sessions[] | select(.user == "user1") | .id')
ok "an administrator ends user1's session on b" ctl_on b disconnect "$id"
ok "the client ends" within 10 client_gone c1
ok "a knows the revocation" within 5 eval '[ "$(ctl_on a -j status | jq .revoked)" -ge 1 ]'

# A goodbye on b revokes on a, too.
ok "user2 says goodbye" client_down c2
ok "both count nobody" within 5 eval '[ "$(info a "counts | [.[].connected] | add")" = 0 ]'
ok "two revocations on a" within 5 eval '[ "$(ctl_on a -j status | jq .revoked)" -ge 2 ]'

# The token itself, by hand: openconnect with the cookie of an ended session.
PASSWORD= client_net 4
oc() { ip netns exec c4 timeout 15 openconnect --protocol=anyconnect --cafile "$LAB/ca.pem" "$@"; }
ok "a cookie is got from b" eval 'COOKIE=$(echo "horse 1" | oc --authenticate --passwd-on-stdin \
	-u user1 https://$SERVER 2> "$LAB/auth.log" | sed -n "s/^COOKIE=.\(.*\).$/\1/p"); [ -n "$COOKIE" ]'
id=$(ctl_on b -j sessions | jq -r '.sessions[] | select(.user == "user1") | .id')
ok "its session is ended before it connects" eval '[ -z "$id" ] || ctl_on b disconnect $id'
ok "moved to a" eval 'within 10 settled; ctl_on a node activate'
oc --cookie-on-stdin https://$SERVER <<< "$COOKIE" > "$LAB/cookie.log" 2>&1
if [ -n "$id" ]; then
	like "a refuses the cookie" "$(cat "$LAB/cookie.log")" '401|Cookie was rejected|no longer valid'
else
	skip "a refuses the cookie" "a session begins with the tunnel"
fi

# Users follow.
ok "user1 is disabled on a" ctl_on a user disable user1
ok "b knows" within 3 eval '[ "$(ctl_on b -j user list | jq -c ".users[] | select(.name == \"user1\") | .authorised")" = false ]'
ok "the configuration is the same on both" eval '[ "$(info a counts.a.hash)" = "$(info a counts.b.hash)" ]'
