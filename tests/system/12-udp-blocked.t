#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 12-udp-blocked.t -- UDP is blocked and opened again under a session: traffic goes
# on over TLS, then returns to DTLS by itself.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 2 }' || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b

udp_block
ok "R2 with UDP blocked a client connects" client_up alice
ok "R2 and works on TLS alone" pings
fails "R2 there is no DTLS" has_dtls
ok "R2 so it is in the session list" sessions_are 1
udp_unblock

ok "a second client, UDP open" client_up bob@c2
ok "has DTLS" within 10 has_dtls c2
ping_start c2 10.10.0.100
within 1 false
udp_block
over_tls() { pings c2; }
ok "R2 UDP dies: traffic falls back to TLS" within 15 over_tls
ok "... and the other way" within 5 in_lan ping -c 1 -W 1 "$(inner4 c2)"
ok "... noticed by the client" within 15 client_log_has 'DTLS Dead Peer|DTLS got write error|DTLS handshake' c2
n=$(client_log_count 'Established DTLS' c2) # before it may be back at once
udp_unblock
back() { [ "$(client_log_count 'Established DTLS' c2)" -gt "$n" ]; }
# openconnect tries DTLS anew 60 s after the start of the attempt that failed.
ok "R2 UDP is back: so is DTLS" within 75 back
ok "R2 traffic passes" pings c2
ok "the first client found DTLS, too" within 75 has_dtls c1
note "lost $(ping_lost) of $(sed -n 's/ packets transmitted.*//p' $LAB/ping.txt) echoes"
is "no session was lost" "$(event_count client_disconnected)" 0
is "nobody logged in twice" "$(event_count auth_success)" 2
like "an event tells of DTLS coming" "$(event_count dtls_up)" '^[1-9]'
