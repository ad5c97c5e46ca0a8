#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 88-pair-sessions.t -- what one node has ended the other refuses; users and their
# passwords are the same on both; the limit is a node's own (R147, R165, R166, R168)
. "$(dirname "$0")/../lib/pair.sh"
. "$(dirname "$0")/../lib/raw.sh"
plan 35

ok "the site is up, limit 2 per node" pair_up "${PAIR_CONFIG/workers = 2/workers = 2
	session_limit = 2}"
ok "two clients connect" clients_up 2
user_add user3 'horse 3'
client_try 10 user3@c3
ok "R168 a third is one too many" test "$CLIENT_RC" -ne 0
ok "R168 b knows the count" within 5 eval '[ "$(info b "counts.a.connected")" = 2 ]'
clients_remember c1 c2
ok "R147 at the limit both move to b" eval 'ctl_on a node standby && flow_start c1 c2 && within 20 flows c1 c2'
ok "no login, the same addresses" clients_same c1 c2
ok "R168 the sum is right" within 5 eval '[ "$(info a "counts | [.[].connected] | add")" = 2 ]'
client_try 10 user3@c3
ok "R147 the limit is b's, too" test "$CLIENT_RC" -ne 0

# Three tokens of clients that b serves: kicked there, said goodbye there, neither.
ok "an administrator ends user1's session on b" ctl_on b disconnect \
	"$(ctl_on b -j sessions | jq -r '.sessions[] | select(.user == "user1") | .id')"
ok "the client ends" within 10 client_gone c1
ok "user2 says goodbye" client_down c2
ok "R168 both count nobody" within 5 eval '[ "$(info a "counts | [.[].connected] | add")$(info b "counts | [.[].connected] | add")" = 00 ]'
status() { TLS_WAIT=0.4 raw_connect "$1" | head -n 1; }
with_cookie() { # TOKEN NS: in the background
	echo "$1" | ip netns exec $2 timeout 20 openconnect --protocol=anyconnect --cafile "$LAB/ca.pem" \
		--no-system-trust --cookie-on-stdin --non-inter -s /bin/true -i vpn$2 \
		https://$SERVER > "$LAB/$2.log" 2>&1 &
}
connected_by_cookie() { client_log_has 'CSTP connected' $1; }
session_of() { ctl_on b -j sessions | jq -r ".sessions[] | select(.user == \"$1\" and .state == \"connected\") | .id" | head -n 1; }
kicked=$(raw_token user1 'horse 1') left=$(raw_token user2 'horse 2')
like "three tokens from b" "$kicked $left" '^[^ ]{40,} [^ ]{40,}$'
with_cookie "$kicked" c1
with_cookie "$left" c2
ok "two clients connect with theirs" within 8 eval 'connected_by_cookie c1 && connected_by_cookie c2'
within 3 eval '[ -n "$(session_of user1)" ]'
ok "one is kicked" ctl_on b disconnect "$(session_of user1)"
pkill -INT -f 'openconnect .* -i vpnc2'
ok "both are gone" within 8 eval '! pgrep -f "openconnect .* -i vpnc[12]"'
free=$(raw_token user3 'horse 3')
like "the third token is good on b" "$(status "$free")" '^HTTP/1.1 200'
ok "a knows the revocations" within 5 eval '[ "$(ctl_on a -j status | jq .revoked)" -ge 4 ]'
ok "moved to a" eval 'within 10 settled; ctl_on a node activate && within 5 is_active a'
like "a refuses the token of the kicked session" "$(status "$kicked")" '^HTTP/1.1 401'
like "a refuses the token of the one that said goodbye" "$(status "$left")" '^HTTP/1.1 401'
like "a takes the third" "$(status "$free")" '^HTTP/1.1 200'

# R165: the addresses are served, nodes are not, unless that is wanted.
served() { in_ns c1 timeout 3 openssl s_client -connect $1:443 -CAfile "$LAB/ca.pem" < /dev/null | grep -q 'BEGIN CERT'; }
refused_at_once() { in_ns c1 timeout 2 bash -c ": < /dev/tcp/$1/443"; [ $? = 1 ]; }
ok "R165 a serves at the virtual address" served 192.0.2.10
ok "R165 b refuses sessions at its own address" within 3 refused_at_once 192.0.2.12
ok "R165 and on the other uplink" refused_at_once 198.51.100.12
ok "R165 and by IPv6" refused_at_once 2001:db8:1::12
ok "R165 unless it is allowed" ctl_on a set server.spare_serves=true
ok "R165 then it serves" within 5 served 192.0.2.12
ok "R165 no more" ctl_on a set server.spare_serves=false
ok "R165 then it refuses" within 5 refused_at_once 192.0.2.12
ok "R165 moved to b, which serves" eval 'within 10 settled; ctl_on b node activate && within 5 served 192.0.2.10'
ok "R165 and a refuses" within 5 refused_at_once 192.0.2.11

# Users follow.
ok "user1 is disabled on a" ctl_on a user disable user1
ok "R166 b knows" within 2 eval '[ "$(ctl_on b -j user list | jq -c ".users[] | select(.name == \"user1\") | .authorised")" = false ]'
ok "R166 the configuration is the same on both" eval '[ "$(info a counts.a.hash)" = "$(info a counts.b.hash)" ]'
