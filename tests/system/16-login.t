#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 16-login.t -- local users: who gets in, what the others learn (nothing), groups,
# odd characters, back-off.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2 }
client_connection { dpd = 5 }
authentication { max_attempts = 3 }'
vpnd_up "$CONFIG" || bail "no vpnd"
odd='p&ss <w>"ord" ä€'
user_add alice secret-a && user_add bob "$odd" && user_add carol secret-c || bail "no users"
for i in $(seq 100 140); do ip -n c1 addr add 203.0.113.$i/32 dev eth0; done

ok "a user logs in" client_up alice
client_down
ok "a password with & < > quotes and UTF-8" client_up bob@c2
client_down c2
PASSWORD=wrong client_try 10 alice
unset PASSWORD
ok "a wrong password does not connect" test "$CLIENT_RC" != 0
ok "... and the client shows why" client_log_has 'Login failed'
is "... which is an event" "$(event_count auth_failure '.user == "alice"')" 1

A=$(raw_login alice wrong --interface 203.0.113.100)
B=$(raw_login nobody wrong --interface 203.0.113.101)
strip() { sed -E 's/<opaque.*<\/opaque>//; s/alice|nobody//g' <<< "${1//$'\n'/}"; }
is "R93 unknown user, wrong password: same body" "$(strip "$B")" "$(strip "$A")"
unlike "R93 no token in either" "$A$B" '<session-token>'
like "a refused login may be tried again" "$A" '<form'
ca=$(form=$(xml_init | xml_post / --interface 203.0.113.102); xml_reply alice bad "$form" | xml_post / --interface 203.0.113.102 -o /dev/null -w '%{http_code}')
cb=$(form=$(xml_init | xml_post / --interface 203.0.113.103); xml_reply nobody bad "$form" | xml_post / --interface 203.0.113.103 -o /dev/null -w '%{http_code}')
is "R93 same status" "$ca" "$cb"
median() { sort -n | sed -n '3p'; }
timing() { # USER FIRST-ADDRESS: five logins from five sources, the median in us
	local i form
	for i in 0 1 2 3 4; do
		form=$(xml_init | xml_post / --interface 203.0.113.$(($2 + i)))
		xml_reply "$1$3" bad "$form" | xml_post / --interface 203.0.113.$(($2 + i)) -o /dev/null -w '%{time_total}\n'
	done | tr -d . | sed 's/^0*//' | median
}
user_add dave secret-d
ta=$(timing dave 104) tb=$(timing nosuch 110)
note "median of a wrong password: $ta us, of an unknown user: $tb us"
ok "R93 about the same time" test $((ta * 3)) -gt $((tb * 2)) -a $((tb * 3)) -gt $((ta * 2))

ok "R84 a user is disabled" ctl user disable carol
like "R84 the right password is refused" "$(raw_login carol secret-c --interface 203.0.113.116)" '<error'
ok "R84 with its own reason in the events" test "$(event_count auth_failure '.user == "carol"')" = 1
ok "R84 enabled again" ctl user enable carol
ok "R84 and gets in" client_up carol
client_down
ok "a password is changed" eval 'printf "new secret\n" | ctl user passwd carol --password-stdin'
like "the old one is refused" "$(raw_login carol secret-c --interface 203.0.113.117)" '<error'
like "the new one is good" "$(raw_login carol 'new secret' --interface 203.0.113.118)" '<session-token>'
ok "a user is removed" ctl user remove carol
like "and is refused" "$(raw_login carol 'new secret' --interface 203.0.113.119)" '<error'
like "the list has the others" "$(ctl user list)" 'alice'
unlike "R92 the list shows no hash" "$(ctl user list; ctl -j user list)" '\$y\$'
unlike "R92 no password in the log or the events" "$(cat $LAB/vpnd.log; ctl -j events --last 1000)" 'secret-|new secret'
like "vpnctl why tells of the failures" "$(ctl why alice)" 'password'
fails "a name with a line break is no user" user_add $'a\nb' x

many() { # attempts in one login: the form comes back until they are used up
	local i form; form=$(xml_init | xml_post / --interface 203.0.113.121)
	for i in 1 2 3; do
		form=$(xml_reply alice "bad$i" "$form" | xml_post / --interface 203.0.113.121)
	done
	echo "$form"
}
unlike "after the last attempt there is no form" "$(many)" '<form'
hammer() { # one source guesses on: it is made to wait or turned away
	local i form t
	for i in $(seq 11); do
		form=$(xml_init | xml_post / --interface 203.0.113.122)
		xml_reply "u$i" bad "$form" | xml_post / --interface 203.0.113.122 > /dev/null
	done
}
t=$(lab_now_ms); hammer; t=$(($(lab_now_ms) - t))
ok "a source that guesses is slowed down ($t ms)" test $t -gt 5000
like "another source logs in meanwhile" "$(raw_login dave secret-d --interface 203.0.113.123)" '<session-token>'

ok "groups are configured" vpnd_reload "$CONFIG
group staff { label = \"Staff & friends\" }
group guest { }"
form=$(xml_init | xml_post / --interface 203.0.113.124)
like "the form has a list" "$form" '<select name="group_list"'
like "... with escaped labels" "$form" 'Staff &amp; friends'
ok "--authgroup staff connects" client_up alice --authgroup staff
is "the session list shows the group" "$(session_get alice group)" staff
client_down
ok "a group in the URL" client_up alice --usergroup guest
is "... is the session's" "$(session_get alice group)" guest
client_down
like "an unknown group is refused" "$(xml_init '<group-select>nosuch</group-select>' | xml_post / --interface 203.0.113.125)" '<error|<form'

ok "old clients: the legacy flow" client_up alice --no-xmlpost --authgroup staff
client_down
