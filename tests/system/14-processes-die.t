#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 14-processes-die.t -- kill -9 of each process, then of all of them, under a running
# ping: no login, no other address, no second session.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2 }
client_connection { dpd = 3  disconnected_timeout = 120 }
addressing { ipv6_prefix = "fd77::/64" }'
vpnd_up "$CONFIG" || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b
ok "a client with DTLS" client_up alice
within 10 has_dtls
ok "a client without" client_up bob@c2 --no-dtls
addr=$(inner4 c1) addr2=$(inner4 c2) id=$(session_get alice id)
logins() { cat $LAB/c?.log | grep -c 'POST https:'; }
posts=$(logins)

replaced() { # PROCESS COUNT DEAD: as many as before, the dead one not among them
	local new; new=$(vpnd_pids $1)
	[ "$(wc -w <<< "$new")" = "$2" ] && ! grep -qx "$3" <<< "$new"
}
works() { pings c1 && pings c2; }
for p in auth keys session worker worker; do
	old=$(vpnd_pids $p)
	victim=$(head -n 1 <<< "$old")
	ping_start c1 10.10.0.100; within 1 false
	ok "$p: killed with -9" vpnd_kill9 $p
	ok "$p: restarted" within 5 replaced $p "$(wc -w <<< "$old")" "$victim"
	ok "$p: both clients work" within 20 works
	within 1 false
	lost=$(ping_lost)
	case $p in
	worker) ok "$p: a short outage at most ($lost echoes)" test "$lost" -le 100 ;;
	*) ok "$p: no packet lost ($lost)" test "$lost" -le 1 ;;
	esac
	ok "$p: vpnctl answers" within 5 sessions_are 2
	is "$p: no login" "$(logins)" "$posts"
	is "$p: same address" "$(session_get alice addr4) $(session_get bob addr4)" "$addr $addr2"
	is "$p: same session" "$(session_get alice id)" "$id"
	ok "$p: new logins work" client_up alice@c3
	client_down c3
	rm -f $LAB/c3.log
	ok "$p: and end" within 5 sessions_are 2
done
ok "a death is an event" event_seen process_died
ok "a restart, too" event_seen process_restarted

ping_start c1 10.10.0.100; within 1 false
ok "everything: killed with -9" vpnd_kill9_all
within 1 false
vpnd_start
ok "everything: serves again" within 15 vpnd_serves
ok "everything: both clients work again" within 40 works
ok "everything: both sessions are known" within 5 sessions_are 2
is "everything: no login" "$(logins)" "$posts"
is "everything: same addresses" "$(session_get alice addr4) $(session_get bob addr4)" "$addr $addr2"
is "everything: same session" "$(session_get alice id)" "$id"
ok "everything: IPv6 inside" pings c1 fd00:10::100
note "everything: lost $(ping_lost) echoes at 20 per second"
is "the clients never restarted" "$(client_reasons c1 | grep -c disconnect)" 0
ok "the users are known" client_up bob@c3
unlike "a new client gets another address" "$(inner4 c3)" "^($addr|$addr2)$"

# A clean stop never logs anybody out either.
ok "SIGTERM: stops" vpnd_stop
ok "SIGTERM: the client was not sent away" client_alive c1
vpnd_start
ok "SIGTERM: serves again" within 15 vpnd_serves
ok "SIGTERM: both clients work again" within 40 works
is "SIGTERM: same address" "$(session_get alice addr4)" "$addr"
# Who says goodbye while it is away is not heard.
ok "SIGTERM: the third is back, too" within 40 sessions_are 3
for c in c1 c2 c3; do client_down $c; done
ok "all sessions end" within 5 sessions_are 0
