#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 61-limits.t -- how many sessions there may be: by number, by model, per user; what a
# refused client is told, and when a place is free again.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
config() { echo "server { workers = 2 $1 }
client_connection { dpd = 2  dpd_mobile = 2 }"; }
vpnd_up "$(config 'model = Z3')" || bail "no vpnd"
limit() { ctl -j status | jq .sessions.limit; }
places() { ctl -j status | jq .sessions.places; }
places_are() { [ "$(places)" = "$1" ]; }
for i in 1 2 3 4 5 6; do user_add u$i secret-$i; done
user_add alice secret-a

is "R143 a Z3 has 5" "$(limit)" 5
for i in 1 2 3 4 5; do ok "R143 client $i of a Z3" client_up u$i@c$i; done
before=$(event_count session_limit)
client_try 15 u6@c6
ok "R144 the 6th is refused" client_gone c6
ok "R144 and shows the reason" client_log_has 'The session limit of this gateway is reached' c6
is "R144 one event" $(($(event_count session_limit) - before)) 1
for i in 1 2 3 4 5; do ok "R144 client $i stays" pings c$i; done

# A known session comes back by its cookie while all places are taken.
client_signal USR2 c3
again() { [ "$(client_log_count 'CSTP connected' c3)" -ge 2 ]; }
ok "R147 at the limit a known session reconnects" within 10 again
is "R147 without a second place" "$(places)" 5
client_down c4
t=$(lab_now_ms)
ok "R145 a place becomes free: the next one connects" client_up u6@c6
t=$(($(lab_now_ms) - t))
ok "R145 within a second, login and all ($t ms)" test $t -lt 2000
is "R145 all places are taken again" "$(places)" 5

# Dead: it vanishes without a word, and nothing of it arrives any more.
in_wan nft add rule inet trouble fw ip saddr 203.0.113.11 drop
in_wan nft add rule inet trouble fw ip daddr 203.0.113.11 drop
client_kill9 c1
ok "R148 right after it died its place is taken" places_are 5
t=$(lab_now_ms)
ok "R148 after the DPD time it is free" within 12 places_are 4
note "after $(($(lab_now_ms) - t)) ms with dpd = 2"
ok "R148 and used" client_up u4@c4
trouble_over
for i in 2 3 4 5 6; do client_down c$i; done
ctl disconnect --user u1 > /dev/null
ok "all are gone" within 5 sessions_are 0

# Every model of the requirements, and the default.
for m in MX450:1500 MX250:1000 MX105:750 MX100:250 MX95:500 MX85:250 MX84:100 MX75:250 \
	MX67:100 MX68:100 MX64:50 MX65:50 Z3:5 Z4:100 Z4C:100 vMX-S:100 vMX-M:250 vMX-L:500 \
	vMX100:250 MX600:1000 MX400:750; do
	r=R143; [[ $m == Z4* ]] && r=R146
	vpnd_reload "$(config "model = \"${m%:*}\"")" > $LAB/out 2>&1
	is "$r ${m%:*}" "$(limit)" "${m#*:}"
done
# In one run this needs a restart when it grows beyond what the start made room for.
ok "R143 a number" vpnd_reload "$(config 'session_limit = 7')"
is "R143 as it is" "$(limit)" 7
ok "R143 neither: the default" vpnd_reload "$(config '')"
is "R143 is 1,500" "$(limit)" 1500
for bad in 'model = MX1' 'session_limit = 0' 'session_limit = many' 'session_limit = 5 model = Z3'; do
	fails "R143 $bad is refused" vpnd_reload "$(config "$bad")"
done
is "R143 and changes nothing" "$(limit)" 1500

# The devices of one user.
device() { client_up alice@$1 --local-hostname $2; }
ok "a user's limit: refuse" vpnd_reload "$(config 'user_sessions = 1 user_sessions_policy = refuse')"
ok "the first device" device c1 laptop
client_try 15 alice@c2 --local-hostname phone
ok "the second is refused" client_gone c2
ok "and told why" client_log_has 'You have too many sessions' c2
ok "the first stays" pings c1
ok "a user's limit: newest" vpnd_reload "$(config 'user_sessions = 1 user_sessions_policy = newest')"
ok "the second device" device c2 phone
ok "R151 the first ends" within 5 client_gone c1
ok "R151 and shows why" client_log_has 'connected from another device; the limit is 1 session' c1
is "one event says so" "$(event_count client_disconnected '.user == "alice" and .reason == "displaced_limit"')" 1
ok "a user's limit: the same device" vpnd_reload "$(config 'user_sessions = 1 user_sessions_policy = device')"
client_try 15 alice@c3 --local-hostname tablet
ok "another device is refused" client_log_has 'You have too many sessions' c3
client_down c2
ok "a device" device c1 laptop
# openconnect does not name it at the login, so the address says that it is the same.
like "the same one is not refused" "$(raw_login alice secret-a)" '<session-token>'
ok "and its old session ends" within 5 client_gone c1
